package replication

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"
)

var (
	errDeposed = errors.New("this replica leads no more")
	errNewer   = errors.New("another leader sends a snapshot")
)

// spoolWait is how long the snapshot of a new leader waits for the end of its predecessor's.
const spoolWait = time.Second

// InstallSnapshot sends a snapshot, at a bounded rate and no longer than this replica leads. The entries behind it stay in the log while it travels and then as
// long as the follower goes on taking them.
func (t *transport) InstallSnapshot(id raft.ServerID, addr raft.ServerAddress, req *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader) error {
	giveUp := t.holds.take(string(id), req.LastLogIndex)
	err := t.carrier().InstallSnapshot(id, addr, req, resp, t.paced(data))
	if err != nil || !resp.Success {
		giveUp()
		return err
	}
	t.holds.follow(string(id), req.LastLogIndex, time.Now())
	return nil
}

// paced gives data at the rate of snapshots, and ends it with the leadership: the successor has its own to send.
func (t *transport) paced(data io.Reader) io.Reader {
	return &pacedReader{checkedReader{data, func() error {
		if !t.leads() {
			return errDeposed
		}
		return nil
	}}, newThrottle(t.rate, t.stop)}
}

// checkedReader asks before each read whether to go on.
type checkedReader struct {
	r     io.Reader
	check func() error
}

func (r checkedReader) Read(buf []byte) (int, error) {
	if err := r.check(); err != nil {
		return 0, err
	}
	return r.r.Read(buf)
}

// wanted gives the content of a leader's snapshot until a leader of a later term sends one.
func (t *transport) wanted(term uint64, data io.Reader) io.Reader {
	for old := t.term.Load(); old < term && !t.term.CompareAndSwap(old, term); old = t.term.Load() {
	}
	return checkedReader{data, func() error {
		if t.term.Load() > term {
			return errNewer
		}
		return nil
	}}
}

// receive spools a snapshot and hands raft a note of where its state is, in the snapshot's stead. One that
// a former leader still sends gives way.
func (t *transport) receive(rpc raft.RPC) {
	data := rpc.Reader
	if req, ok := rpc.Command.(*raft.InstallSnapshotRequest); ok {
		data = t.wanted(req.Term, data)
	}
	limit := time.NewTimer(spoolWait)
	defer limit.Stop()
	select {
	case t.spool <- struct{}{}:
		defer func() { <-t.spool }()
	case <-limit.C:
		rpc.Respond(nil, errors.New("another snapshot is being received"))
		return
	case <-t.stop:
		return
	}
	note, err := t.in.spool(data)
	if err != nil {
		rpc.Respond(nil, fmt.Errorf("spool snapshot: %w", err))
		return
	}
	req := *rpc.Command.(*raft.InstallSnapshotRequest) // receive is called with nothing else
	req.Size = int64(len(note))
	done := make(chan raft.RPCResponse, 1)
	answer := rpc.RespChan
	rpc.Command, rpc.Reader, rpc.RespChan = &req, bytes.NewReader(note), done
	t.in.gate.expect(&req)
	t.deliver(rpc)
	select {
	case resp := <-done:
		if t.in.gate.expect(nil) { // what the leader wants to be here is here
			resp = raft.RPCResponse{Response: &raft.InstallSnapshotResponse{RPCHeader: req.RPCHeader, Term: req.Term, Success: true}}
		}
		// What was taken is no longer there, or is named by a snapshot. What stays by a fault here goes at the next start.
		if err := t.in.forget(); resp.Error != nil {
			resp.Error = errors.Join(resp.Error, err)
		}
		answer <- resp // has room for one
	case <-t.stop:
	}
}

// spool writes the state of the snapshot in r to a file of its own, verified, stamped and durable, and gives the note that names it.
func (in incoming) spool(r io.Reader) (note []byte, err error) {
	path := filepath.Join(in.dir, fmt.Sprintf("%s%d", incomingAs, time.Now().UnixNano()))
	if err := spoolSnapshot(in.key, r, path); err != nil {
		return nil, err
	}
	reached, err := stampBase(path)
	if err == nil {
		err = syncDir(in.dir)
	}
	if err != nil {
		return nil, errors.Join(err, os.Remove(path))
	}
	return place{reached, filepath.Base(path)}.encode(), nil
}
