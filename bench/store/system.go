package store

import "context"

// system is a running store of three replicas.
type system interface {
	// writer prepares client number i, from 0, and gives the function that writes its next record and returns
	// when the store has acknowledged it. Both belong to one goroutine; different clients run at once.
	writer(ctx context.Context, i int) (write func(context.Context) error, err error)
	// count gives the number of records that the store holds.
	count(ctx context.Context) (int, error)
	// leader names who leads now, so that a change in mid-run is seen; empty when that is unknown.
	leader(ctx context.Context) string
	// stop ends everything that was started.
	stop() error
}

// contender is a system that takes part.
type contender struct {
	name  string
	start func(ctx context.Context, dir string, clients int) (system, error)
}

// The names in reports. Those with the suffix inProcess have clients that call a server of this process without a
// socket, as those of ours do; the others reach theirs over loopback TCP, on one connection to each server, which was
// the fastest of 3, 48 and 512 connections for both systems.
const (
	nameSkein  = "skein"
	nameLeader = "skein-leader"
	nameEtcd   = "etcd"
	nameNATS   = "nats"
	inProcess  = "-inproc"
)

func contenders() []contender {
	return []contender{
		{nameSkein, func(ctx context.Context, dir string, n int) (system, error) { return startSkein(ctx, dir, n, false) }},
		{nameLeader, func(ctx context.Context, dir string, n int) (system, error) { return startSkein(ctx, dir, n, true) }},
		{nameEtcd, func(ctx context.Context, dir string, _ int) (system, error) { return startEtcd(ctx, dir, false) }},
		{nameEtcd + inProcess, func(ctx context.Context, dir string, _ int) (system, error) { return startEtcd(ctx, dir, true) }},
		{nameNATS, func(ctx context.Context, dir string, _ int) (system, error) { return startNATS(ctx, dir, false) }},
		{nameNATS + inProcess, func(ctx context.Context, dir string, _ int) (system, error) { return startNATS(ctx, dir, true) }},
	}
}

const (
	replicas   = 3
	recordSize = 512 // bytes of a record, names and bookkeeping not counted
)

// text gives n bytes of text that does not compress away, the same ones for every run.
func text(n int) string {
	const letters = "abcdefghijklmnopqrstuvwxyz012345"
	out := make([]byte, n)
	x := uint32(2463534242) // xorshift: Marsaglia, Journal of Statistical Software 8(14), 2003
	for i := range out {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		out[i] = letters[x>>27]
	}
	return string(out)
}
