package seglog

import (
	"reflect"
	"testing"

	"github.com/hashicorp/raft"
)

func FuzzRecord(f *testing.F) {
	f.Add([]byte{}, uint64(1), uint32(recordsAt))
	f.Add(appendRecord(nil, 3, recordsAt, &raft.Log{Index: 7, Term: 2, Data: []byte("x"), Extensions: []byte("y")}), uint64(3), uint32(recordsAt))
	f.Add(appendRecord(make([]byte, 8), 3, recordsAt, &raft.Log{Index: 7}), uint64(3), uint32(recordsAt))
	f.Fuzz(func(t *testing.T, buf []byte, seq uint64, offset uint32) {
		appendedLater(seq, offset, buf)
		r, ok := parseRecord(seq, offset, buf)
		if !ok {
			return
		}
		var l, again raft.Log
		if decodeEntry(r.index, r.entry, &l) != nil {
			return
		}
		r, ok = parseRecord(seq, offset, appendRecord(nil, seq, offset, &l))
		if !ok {
			t.Fatal("a record just written does not verify")
		}
		if err := decodeEntry(r.index, r.entry, &again); err != nil || !reflect.DeepEqual(l, again) {
			t.Errorf("round trip: got %+v, %v, want %+v", again, err, l)
		}
	})
}

func FuzzEntry(f *testing.F) {
	f.Add([]byte{}, uint64(0))
	f.Add(appendEntry(nil, &raft.Log{Term: 2, Data: []byte("x"), Extensions: []byte("y")}), uint64(7))
	f.Fuzz(func(t *testing.T, buf []byte, index uint64) {
		var l, again raft.Log
		if decodeEntry(index, buf, &l) != nil {
			return
		}
		if err := decodeEntry(index, appendEntry(nil, &l), &again); err != nil || !reflect.DeepEqual(l, again) {
			t.Errorf("round trip: got %+v, %v, want %+v", again, err, l)
		}
	})
}

func FuzzStable(f *testing.F) {
	s := &stable{values: map[string][]byte{"term": {1, 2}, "vote": []byte("a1")}}
	f.Add(s.encode(4))
	f.Fuzz(func(t *testing.T, buf []byte) {
		g, values, ok := decodeStable(buf)
		if !ok || len(buf) > stableCopy {
			return
		}
		g2, again, ok := decodeStable((&stable{values: values}).encode(g))
		if !ok || g2 != g || !reflect.DeepEqual(again, values) {
			t.Errorf("round trip: got %d %v %v, want %d %v", g2, again, ok, g, values)
		}
	})
}
