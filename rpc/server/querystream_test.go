package server_test

import (
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/internal/fakecluster"
	"github.com/flotilla-db/flotilla/rpc/pb"
	"github.com/flotilla-db/flotilla/storage"
)

func read(id uint64, devices ...string) *pb.QueryCall {
	return &pb.QueryCall{Id: id, Query: &pb.QueryRequest{Database: "d", Collection: "c", Devices: devices}}
}

// textPoints writes points of 1 KiB, so that few make an answer large.
func textPoints(t *testing.T, cl pb.FlotillaClient, device string, n int) {
	t.Helper()
	m := &pb.WriteRequest{Database: "d", Collection: "c"}
	for i := range int64(n) {
		m.Points = append(m.Points, &pb.Point{Device: device, Time: &i, Fields: []*pb.Field{{Name: "s", Value: &pb.Field_Text{Text: fmt.Sprintf("%1024d", i)}}}})
	}
	if _, err := cl.Write(t.Context(), m); err != nil {
		t.Fatal(err)
	}
}

// ask makes one read alone on a stream.
func ask(t *testing.T, stream grpc.BidiStreamingClient[pb.QueryCall, pb.QueryAnswers], m *pb.QueryCall) *pb.QueryAnswer {
	t.Helper()
	if err := stream.Send(m); err != nil {
		t.Fatal(err)
	}
	answers, err := stream.Recv()
	if err != nil || len(answers.GetAnswers()) != 1 || answers.GetAnswers()[0].GetId() != m.GetId() {
		t.Fatalf("%v %v", answers, err)
	}
	return answers.GetAnswers()[0]
}

func TestStreamAnswersEachReadByItsID(t *testing.T) {
	const n, devices = 3000, 20 // more than may be in flight
	c := fakecluster.New(t, fakecluster.Options{})
	cl := pb.NewFlotillaClient(dial(t, c.Nodes[0]))
	for i := range devices {
		m := request(fmt.Sprint("dev-", i), 0)
		for at := range int64(i) {
			at++
			m.Points = append(m.Points, &pb.Point{Device: m.Points[0].Device, Time: &at, Fields: []*pb.Field{f64("v", 1)}})
		}
		if _, err := cl.Write(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	stream, err := cl.QueryStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	go func() { // ends with the stream
		for i := range uint64(n) {
			m := read(i, fmt.Sprint("dev-", i%devices))
			if i%10 == 3 {
				m.Query.Database = "nope"
			}
			if stream.Send(m) != nil {
				return
			}
		}
		_ = stream.CloseSend()
	}()
	seen := map[uint64]bool{}
	for {
		m, err := stream.Recv()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range m.GetAnswers() {
			rows, want := 0, int(a.GetId()%devices)+1
			for _, r := range a.GetRows() {
				rows += len(r.GetTimes())
			}
			refused := api.Code(a.GetProblem().GetCode()) == api.DatabaseNotFound
			if refused {
				want = 0
			}
			if seen[a.GetId()] || rows != want || refused != (a.GetId()%10 == 3) || a.GetTooLarge() {
				t.Fatalf("answer %v", a)
			}
			seen[a.GetId()] = true
		}
	}
	if len(seen) != n {
		t.Fatalf("%d answers of %d", len(seen), n)
	}
}

func TestAnswersThatAreNotSmallAreNotGiven(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{})
	cl := pb.NewFlotillaClient(dial(t, c.Nodes[0]))
	textPoints(t, cl, "small", 200)
	textPoints(t, cl, "large", 300)
	stream, err := cl.QueryStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	group := storage.GroupOf("d", "c", "large", fakecluster.TotalGroups)
	for _, leader := range []string{"n1", "n2"} { // read here, and by a call
		c.SetLeader(group, leader)
		if a := ask(t, stream, read(1, "large")); !a.GetTooLarge() || len(a.GetRows()) > 0 || a.GetProblem() != nil {
			t.Errorf("leader %s: %v", leader, a)
		}
	}
	if a := ask(t, stream, read(2)); !a.GetTooLarge() {
		t.Errorf("a collection: %v", a)
	}
	for id := range uint64(100) { // 20 MB in all: what was sent makes room again
		if a := ask(t, stream, read(id, "small")); a.GetTooLarge() || len(a.GetRows()) != 1 || len(a.GetRows()[0].GetTimes()) != 200 {
			t.Fatalf("read %d: too large %v, problem %v, %d rows", id, a.GetTooLarge(), a.GetProblem(), len(a.GetRows()))
		}
	}
}

func TestClientThatVanishesInMidStreamLeavesNoReads(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{WriteTimeout: time.Hour})
	for group := range uint32(fakecluster.TotalGroups) {
		c.SetLeader(group, "") // the reads try until their time is over
	}
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := pb.NewFlotillaClient(dial(t, c.Nodes[0])).QueryStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for id := range uint64(100) {
		if err := stream.Send(read(id, "a")); err != nil {
			t.Fatal(err)
		}
	}
	m := read(100, "a")
	m.TimeoutMs = 50
	if a := ask(t, stream, m); api.Code(a.GetProblem().GetCode()) != api.Unavailable {
		t.Errorf("a read whose time is over: %v", a)
	}
	cancel()
	if _, err := stream.Recv(); status.Code(err) != codes.Canceled {
		t.Fatal(err)
	} // goleak and the cluster's Close see that the reads ended
}
