package server_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/gateway"
	"github.com/flotilla-db/flotilla/rpc/internal/fakecluster"
	"github.com/flotilla-db/flotilla/rpc/pb"
	"github.com/flotilla-db/flotilla/rpc/server"
	"github.com/flotilla-db/flotilla/storage"
)

// peerStream stands for a stream between nodes, which never ends by itself.
type peerStream struct{ entered, stop chan struct{} }

func (p peerStream) Register(r grpc.ServiceRegistrar) {
	r.RegisterService(&grpc.ServiceDesc{ServiceName: "peers", HandlerType: (*any)(nil), Streams: []grpc.StreamDesc{{
		StreamName: "Frames", ServerStreams: true, ClientStreams: true,
		Handler: func(any, grpc.ServerStream) error { close(p.entered); <-p.stop; return nil },
	}}}, p)
}

func TestDrainWaitsForClientsAndNotForNodes(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{Nodes: 1})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	peers := peerStream{make(chan struct{}), make(chan struct{})}
	listener := server.New(c.Nodes[0].Gateway, api.Version{}, nil).Serve(l, nil, peers)
	cc, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Close()
	if _, err := cc.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/peers/Frames"); err != nil {
		t.Fatal(err)
	}
	<-peers.entered
	stream, err := pb.NewFlotillaClient(cc).WriteStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	write := func() (*pb.WriteResult, error) {
		if err := stream.Send(request("a", 1)); err != nil {
			return nil, err
		}
		m, err := stream.Recv()
		if err != nil {
			return nil, err
		}
		return m.GetResults()[0], nil
	}
	if r, err := write(); err != nil || r.GetWritten() != 1 {
		t.Fatalf("%v %v", r, err)
	}

	proposed, held := make(chan struct{}), make(chan struct{})
	c.OnPropose(func(string, uint32) error { close(proposed); <-held; return nil })
	if err := stream.Send(request("a", 2)); err != nil {
		t.Fatal(err)
	}
	<-proposed
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if listener.Drain(short); short.Err() == nil { // it gives up
		t.Fatal("Drain did not wait for a write")
	}
	close(held)
	if m, err := stream.Recv(); err != nil || m.GetResults()[0].GetWritten() != 1 {
		t.Fatalf("the write under way: %v %v", m, err)
	}
	listener.Drain(t.Context()) // the streams are idle: it does not wait for them
	if r, err := write(); err != nil || api.Code(r.GetProblem().GetCode()) != api.NotApplied {
		t.Fatalf("a write of a node that stops: %v %v", r, err)
	}
	close(peers.stop)
	if err := listener.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err == nil || errors.Is(err, context.Canceled) || status.Code(err) == codes.OK {
		t.Fatalf("the stream of a client outlived the server: %v", err)
	}
}

func TestDrainWaitsForReadsOfAStream(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{})
	group := storage.GroupOf("d", "c", "a", fakecluster.TotalGroups)
	c.SetLeader(group, "n2")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener := server.New(c.Nodes[0].Gateway, api.Version{}, nil).Serve(l, nil)
	cc, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Close()
	if _, err := pb.NewFlotillaClient(cc).Write(t.Context(), request("a", 1)); err != nil {
		t.Fatal(err)
	}
	stream, err := pb.NewFlotillaClient(cc).QueryStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if a := ask(t, stream, read(1, "a")); len(a.GetRows()) != 1 {
		t.Fatal(a)
	}

	asked, held := make(chan struct{}), make(chan struct{})
	c.OnCall(func(_, _ string, method gateway.Method) (before, after error) {
		if method == gateway.MethodQuery {
			close(asked)
			<-held
		}
		return nil, nil
	})
	if err := stream.Send(read(2, "a")); err != nil {
		t.Fatal(err)
	}
	<-asked
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if listener.Drain(short); short.Err() == nil { // it gives up
		t.Fatal("Drain did not wait for a read")
	}
	if a := ask(t, stream, read(3, "a")); api.Code(a.GetProblem().GetCode()) != api.NotReady {
		t.Fatalf("a read of a node that stops: %v", a)
	}
	close(held)
	if m, err := stream.Recv(); err != nil || m.GetAnswers()[0].GetId() != 2 || len(m.GetAnswers()[0].GetRows()) != 1 {
		t.Fatalf("the read under way: %v %v", m, err)
	}
	listener.Drain(t.Context()) // the stream is idle: it does not wait for it
	if err := listener.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err == nil || status.Code(err) == codes.OK {
		t.Fatalf("the stream of a client outlived the server: %v", err)
	}
}
