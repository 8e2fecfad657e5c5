# Stops a server and removes its folder when nobody uses it any more, however its users have ended: each holds a shared lock on
# the file `lock` in there for as long as it lives. Given the folder, and for how many seconds it is kept after the last of them.
folder=$1 patience=$2
exec 9<"$folder/lock" || exit 0
while :; do
    flock --exclusive 9
    # A folder of the same name that somebody made after this one was removed is not this watchdog's.
    [ "$folder/lock" -ef /dev/fd/9 ] || exit 0
    flock --unlock 9
    sleep "$patience"
    if flock --exclusive --nonblock 9; then
        [ "$folder/lock" -ef /dev/fd/9 ] || exit 0
        break
    fi
done
if read -r server <"$folder/data/postmaster.pid" && [ "/proc/$server/cwd" -ef "$folder/data" ]; then
    kill -QUIT "$server"
    tries=0
    while [ -e "/proc/$server/cwd" ] && [ $((tries += 1)) -lt 100 ]; do sleep 0.05; done
fi
# Renamed first: whoever comes meanwhile makes a new one in its place.
mv "$folder" "$folder.$$" && rm -rf "$folder.$$"
