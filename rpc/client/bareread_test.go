package client_test

import (
	"fmt"
	"math"
	"net"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"

	"github.com/flotilla-db/flotilla/rpc/client"
	"github.com/flotilla-db/flotilla/rpc/pb"
	"github.com/flotilla-db/flotilla/storage/blocks"
)

// constantNode answers every query with the same rows and knows no store, nor
// QueryStream.
type constantNode struct {
	pb.UnimplementedFlotillaServer
	rows *blocks.Columns
}

// streamingNode is a constantNode that knows QueryStream.
type streamingNode struct{ constantNode }

func (n streamingNode) QueryStream(stream grpc.BidiStreamingServer[pb.QueryCall, pb.QueryAnswers]) error {
	for {
		m, err := stream.Recv()
		if err != nil {
			return err
		}
		rows := pb.RowsMessage(m.GetQuery().GetDevices()[0], n.rows)
		if err := stream.Send(&pb.QueryAnswers{Answers: []*pb.QueryAnswer{{Id: m.GetId(), Rows: []*pb.QueryReply{rows}}}}); err != nil {
			return err
		}
	}
}

func (n constantNode) Query(q *pb.QueryRequest, stream grpc.ServerStreamingServer[pb.QueryReply]) error {
	return stream.Send(pb.RowsMessage(q.GetDevices()[0], n.rows))
}

// BenchmarkBareRead is what the SDK and gRPC cost a read before anything of a
// store is done: three servers on loopback in the caller's process, no raft,
// no forward, no data. It is the ceiling of `flotilla bench read`. A call is a
// gRPC call each, a stream the one that small reads share.
func BenchmarkBareRead(b *testing.B) {
	for _, c := range []struct {
		name          string
		rows, callers int
	}{{"last", 1, 64}, {"range", 1000, 8}} {
		node := constantNode{rows: readings(c.rows)}
		b.Run(c.name+"/call", func(b *testing.B) { bareRead(b, node, c.rows, c.callers) })
		b.Run(c.name+"/stream", func(b *testing.B) { bareRead(b, streamingNode{node}, c.rows, c.callers) })
	}
}

func bareRead(b *testing.B, node pb.FlotillaServer, rows, callers int) {
	o := client.Options{Connections: 5}
	for range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		s := grpc.NewServer()
		pb.RegisterFlotillaServer(s, node)
		go func() { _ = s.Serve(l) }() // ends with Stop
		b.Cleanup(s.Stop)
		o.Addrs = append(o.Addrs, l.Addr().String())
	}
	cl, err := client.New(o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = cl.Close() })
	var callerID atomic.Int64
	b.SetParallelism(callers) // times GOMAXPROCS
	b.ResetTimer()
	b.RunParallel(func(p *testing.PB) {
		if callerID.Add(1) > int64(callers) {
			return // RunParallel makes a multiple of GOMAXPROCS goroutines
		}
		for p.Next() {
			got := 0
			q := client.Query{Database: "d", Collection: "c", Devices: []string{"dev"}}
			if err := cl.Query(b.Context(), q, func(_ string, c *client.Columns) error { got += c.Len(); return nil }); err != nil || got != rows {
				b.Error(fmt.Errorf("%d rows, %w", got, err))
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "reads/s")
}

// readings are rows of three floats of two decimals, 10 s apart.
func readings(rows int) *blocks.Columns {
	c := &blocks.Columns{Times: make([]int64, rows), Cols: make([]blocks.Column, 3)}
	for f := range c.Cols {
		c.Cols[f] = blocks.Column{Name: fmt.Sprintf("f%d", f), Kind: blocks.Float64, Nums: make([]uint64, rows)}
		for i := range rows {
			c.Times[i] = int64(i) * 1e10
			c.Cols[f].Nums[i] = math.Float64bits(float64(i) / 100)
		}
	}
	return c
}
