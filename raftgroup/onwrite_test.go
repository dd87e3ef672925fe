package raftgroup

import (
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/blocks"
	"github.com/hashicorp/raft"
)

// What clients write is told of wherever it is committed, on a replica that is held for a copy too; what a group writes for
// itself, or a check or copy for it, is not: background work would give way to itself.
func TestOnlyWhatClientsWriteIsToldOf(t *testing.T) {
	put := storage.AppendPut(nil, []storage.Point{{
		Series: storage.Series{Database: "d", Collection: "c", Device: "v"}, Time: 1,
		Fields: []storage.Field{{Name: "f", Value: blocks.Float(1)}},
	}})
	cut := storage.AppendCut(nil, storage.Cut{ID: "6ba7b810-9dad-11d1-80b4-00c04fd430c8", Purpose: "check", TTL: time.Minute})
	for _, c := range []struct {
		name string
		logs []*raft.Log
		told int
	}{
		{"a write", []*raft.Log{{Type: raft.LogCommand, Data: put}}, 1},
		{"a delete", []*raft.Log{{Type: raft.LogCommand, Data: storage.AppendDelete(nil, storage.Delete{Series: storage.Series{Database: "d"}})}}, 1},
		{"a write behind others", []*raft.Log{{Type: raft.LogCommand, Data: cut}, {Type: raft.LogCommand, Data: put}}, 1},
		{"a cut", []*raft.Log{{Type: raft.LogCommand, Data: cut}}, 0},
		{"a no-op", []*raft.Log{{Type: raft.LogCommand, Data: storage.AppendNoop(nil)}}, 0},
		{"an end", []*raft.Log{{Type: raft.LogCommand, Data: storage.AppendEnd(nil, "6ba7b810-9dad-11d1-80b4-00c04fd430c8")}}, 0},
		{"a configuration", []*raft.Log{{Type: raft.LogConfiguration, Data: put}}, 0},
		{"nothing that can be read", []*raft.Log{{Type: raft.LogCommand, Data: []byte{0xff}}}, 0},
	} {
		f, told := newFSM(nil), 0
		f.onWrite = func() { told++ }
		f.dropping = true // as while it is held
		f.ApplyBatch(c.logs)
		if told != c.told {
			t.Errorf("%s: told %d times, want %d", c.name, told, c.told)
		}
	}
}
