# Makes and runs a server until standard input ends, however whoever holds that ends, and empties its folder then: what is in it
# is worth nothing without the one who made it. Given the folder, initdb and postgres, and what the latter is told.
folder=$1 initdb=$2 postgres=$3
shift 3
# Only what is written later must survive anything: whatever is left of a folder that was not made whole is removed.
"$initdb" --pgdata "$folder/data" --username forebay --auth trust --encoding UTF8 --locale C \
    --no-sync --no-instructions </dev/null || exit
"$postgres" -D "$folder/data" "$@" </dev/null &
server=$!
read -r _ || :
# Until the server has set its signals a shell has it ignore the second, with which it does not wait for clients.
kill -TERM "$server" 2>/dev/null && kill -QUIT "$server" 2>/dev/null
wait "$server"
rm -rf "$folder"/*
