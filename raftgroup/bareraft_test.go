package raftgroup

import (
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// nothingFSM takes entries and forgets them.
type nothingFSM struct{}

func (nothingFSM) Apply(*raft.Log) any                 { return nil }
func (nothingFSM) Snapshot() (raft.FSMSnapshot, error) { return nil, raft.ErrNothingNewToSnapshot }
func (nothingFSM) Restore(io.ReadCloser) error         { return nil }

// BenchmarkBareRaft is the price of an entry in hashicorp/raft itself: 256
// groups of three replicas in one process, logs and transport in memory, no
// disk, no socket, no data. What a node does comes on top of it.
func BenchmarkBareRaft(b *testing.B) {
	const groups, replicas, callers = 256, 3, 256
	leaders := make([]*raft.Raft, groups)
	for g := range leaders {
		var servers raft.Configuration
		var transports []*raft.InmemTransport
		for r := range replicas {
			addr, transport := raft.NewInmemTransport(raft.ServerAddress(fmt.Sprintf("%d.%d", g, r)))
			transports = append(transports, transport)
			servers.Servers = append(servers.Servers, raft.Server{ID: raft.ServerID(addr), Address: addr})
		}
		all := make([]*raft.Raft, replicas)
		for r := range replicas {
			for p := range replicas {
				transports[r].Connect(servers.Servers[p].Address, transports[p])
			}
			c := DefaultTimers().raftConfig(membership.ServerID{})
			c.LocalID, c.Logger, c.NotifyCh = servers.Servers[r].ID, hclog.NewNullLogger(), nil
			store := raft.NewInmemStore()
			node, err := raft.NewRaft(c, nothingFSM{}, store, store, raft.NewInmemSnapshotStore(), transports[r])
			if err != nil {
				b.Fatal(err)
			}
			all[r] = node
			b.Cleanup(func() { _ = node.Shutdown().Error() })
		}
		if err := all[0].BootstrapCluster(servers).Error(); err != nil {
			b.Fatal(err)
		}
		leaders[g] = all[0]
		if err := transports[1].TimeoutNow("", servers.Servers[0].Address, &raft.TimeoutNowRequest{RPCHeader: raft.RPCHeader{ProtocolVersion: protocolVersion}}, &raft.TimeoutNowResponse{}); err != nil {
			b.Fatal(err)
		}
	}
	for _, l := range leaders {
		for end := time.Now().Add(time.Minute); l.State() != raft.Leader; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				b.Fatal("no leader")
			}
		}
	}
	data := make([]byte, 100)
	b.ResetTimer()
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			for range b.N/callers + 1 {
				if err := leaders[rand.IntN(groups)].Apply(data, 0).Error(); err != nil {
					b.Errorf("caller %d: %v", i, err)
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}
