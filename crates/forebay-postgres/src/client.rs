//! A connection of the application's own, made as the sink makes its.

use forebay::{Result, Signals};
use tokio_postgres::Client;

use crate::connect::connect;
use crate::options::{Address, PostgresOptions};

impl PostgresOptions {
    /// A client beside the sink, for what is not writing rows: with the same URL, encryption, password and timeouts. Its connection is
    /// driven by a task of the runtime that this is called on.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    ///
    /// # Panics
    ///
    /// Outside of a runtime of tokio's with time and I/O enabled.
    ///
    /// ```no_run
    /// # async fn counted(url: &str) -> Result<i64, Box<dyn std::error::Error>> {
    /// use forebay_postgres::PostgresOptions;
    ///
    /// let client = PostgresOptions::default().client(url).await?;
    /// let count = client.query_one("SELECT count(*) FROM topics", &[]).await?.get(0);
    /// # Ok(count)
    /// # }
    /// ```
    pub async fn client(&self, url: &str) -> Result<Client> {
        // Nothing is entered in the books by it.
        let options = Self { bookkeeping: false, ..self.clone() };
        let address = Address::parse(url, &options)?;
        let session = connect(&address, &options, &Signals::default()).await;
        Ok(session.map_err(|failure| failure.error)?.into_client())
    }
}
