package raftmux

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"google.golang.org/grpc"

	"github.com/flotilla-db/flotilla/membership"
)

// loopback starts nodes on real TCP sockets.
func loopback(b *testing.B, count int) []*node {
	b.Helper()
	addrs := map[membership.NodeID]string{}
	var listeners []net.Listener
	for i := range count {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		listeners = append(listeners, l)
		addrs[nodeID(fmt.Sprintf("n%d", i+1))] = l.Addr().String()
	}
	var nodes []*node
	for i, l := range listeners {
		id := nodeID(fmt.Sprintf("n%d", i+1))
		m, err := New(Config{
			Local: id, ClusterID: func() string { return testCluster },
			Resolve: func(id membership.NodeID) (string, bool) { a, ok := addrs[id]; return a, ok },
		})
		if err != nil {
			b.Fatal(err)
		}
		nd := &node{Mux: m, id: id, server: grpc.NewServer(ServerOptions()...)}
		nd.Register(nd.server)
		nd.served.Go(func() { nd.server.Serve(l) })
		nodes = append(nodes, nd)
		b.Cleanup(func() {
			nd.server.Stop()
			nd.Mux.Close()
			nd.served.Wait()
		})
	}
	for _, a := range nodes {
		for _, c := range nodes {
			a.Connect(c.id)
		}
	}
	for !connected(nodes...)() {
		<-time.After(time.Millisecond)
	}
	return nodes
}

// BenchmarkAppendEntries measures round trips of one 200-byte entry each, two
// on the way a group, from one node to another over loopback TCP.
func BenchmarkAppendEntries(b *testing.B) {
	for _, groups := range []int{1, 256} {
		b.Run(fmt.Sprintf("groups=%d", groups), func(b *testing.B) {
			nodes := loopback(b, 2)
			var next atomic.Int64
			var wg sync.WaitGroup
			b.ResetTimer()
			for g := range uint32(groups) {
				here := nodes[0].Transport(g, testLineage, nodes[0].id.Server(0))
				there := nodes[1].Transport(g, testLineage, nodes[1].id.Server(0))
				go func() {
					for {
						select {
						case rpc := <-there.Consumer():
							rpc.Respond(&raft.AppendEntriesResponse{Term: 1, Success: true}, nil)
						case <-there.closed:
							return
						}
					}
				}()
				p, err := here.AppendEntriesPipeline("", there.LocalAddr())
				if err != nil {
					b.Fatal(err)
				}
				wg.Go(func() {
					onTheWay := 0
					for index := uint64(1); next.Add(1) <= int64(b.N); index++ {
						if _, err := p.AppendEntries(entries(index, 200), &raft.AppendEntriesResponse{}); err != nil {
							b.Error(err)
							return
						}
						if onTheWay++; onTheWay == maxPipelined {
							<-p.Consumer()
							onTheWay--
						}
					}
					for ; onTheWay > 0; onTheWay-- {
						<-p.Consumer()
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			s := nodes[0].Stats()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "roundtrips/s")
			b.ReportMetric(float64(s.FramesOut)/float64(s.MessagesOut), "frames/message")
		})
	}
}

// BenchmarkCall measures calls of 200 bytes with as many callers.
func BenchmarkCall(b *testing.B) {
	for _, callers := range []int{1, 256} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			nodes := loopback(b, 2)
			nodes[1].Handle(echo, echoHandler)
			payload := make([]byte, 200)
			var next atomic.Int64
			var wg sync.WaitGroup
			b.ResetTimer()
			for range callers {
				wg.Go(func() {
					for next.Add(1) <= int64(b.N) {
						if _, err := nodes[0].Call(context.Background(), nodes[1].id, echo, payload); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
		})
	}
}
