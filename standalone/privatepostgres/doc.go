// Package privatepostgres runs a PostgreSQL server of our own in a data folder: nothing to install by hand, no
// port, no password, and the state is kept between runs.
//
// # How it is reached
//
// The server listens on a Unix socket only. There is no TCP port that could be taken or scanned, and a round trip is
// cheaper than over loopback. Who may connect is decided by the kernel ("peer" authentication): root, the account
// that runs Postgres and the account that started it. So there is no password to generate, keep or leak.
//
// # What survives what
//
// Data is flushed on commit (fsync and synchronous_commit are on) and the folder may be killed at any moment. One
// process at a time owns the folder (a lock that the kernel drops with the process), so a Postgres that still
// runs in it was left behind by a killed owner, and is ended before a new one starts. A Postgres that dies while
// its owner lives is started again.
//
// # As root
//
// Postgres refuses to run as root, so there it runs as "postgres" or else "nobody". When that account cannot
// enter the folder (say, because it is below a home of mode 0700), the data lives below /var/lib/dealwright and the
// folder holds a symbolic link to it, named "elsewhere".
//
// The package is for Unix systems.
package privatepostgres
