package server_test

import (
	"context"
	"encoding/json"
	"io"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/gateway"
	"github.com/flotilla-db/flotilla/rpc/internal/fakecluster"
	"github.com/flotilla-db/flotilla/rpc/pb"
	"github.com/flotilla-db/flotilla/storage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func dial(t *testing.T, n *fakecluster.Node) *grpc.ClientConn {
	t.Helper()
	cc, err := grpc.NewClient("passthrough:///"+n.Name, grpc.WithContextDialer(n.Dial), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cc.Close() })
	return cc
}

func f64(name string, v float64) *pb.Field {
	return &pb.Field{Name: name, Value: &pb.Field_F64{F64: v}}
}

func request(device string, at int64) *pb.WriteRequest {
	return &pb.WriteRequest{Database: "d", Collection: "c", Points: []*pb.Point{{Device: device, Time: &at, Fields: []*pb.Field{f64("v", 1)}}}}
}

func TestPlainProtobufWritesAndReads(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{})
	cl := pb.NewFlotillaClient(dial(t, c.Nodes[0]))
	m := request("a", 5)
	m.Points[0].Fields = append(m.Points[0].Fields, &pb.Field{Name: "i", Value: &pb.Field_I64{I64: -7}}, &pb.Field{Name: "s", Value: &pb.Field_Text{Text: "x"}})
	m.Points = append(m.Points, &pb.Point{Device: "a", Fields: []*pb.Field{f64("v", 2)}})
	r, err := cl.Write(t.Context(), m)
	if err != nil || r.GetWritten() != 2 || len(r.GetStamped()) != 1 || r.GetStamped()[0].GetIndex() != 1 {
		t.Fatalf("%v %v", r, err)
	}
	stream, err := pb.NewFlotillaClient(dial(t, c.Nodes[1])).Query(t.Context(), &pb.QueryRequest{Database: "d", Collection: "c", Devices: []string{"a"}})
	if err != nil {
		t.Fatal(err)
	}
	rows, columns := 0, 0
	for {
		reply, err := stream.Recv()
		if err == io.EOF {
			break
		}
		if err != nil || reply.GetDevice() != "a" {
			t.Fatalf("%v %v", reply, err)
		}
		rows, columns = rows+len(reply.GetTimes()), max(columns, len(reply.GetColumns()))
	}
	if rows != 2 || columns != 3 {
		t.Fatalf("%d rows, %d columns", rows, columns)
	}
}

func TestErrorsCarryTheProblem(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{})
	cl := pb.NewFlotillaClient(dial(t, c.Nodes[0]))
	delete := storage.AppendDelete(nil, storage.Delete{Series: storage.Series{Database: "d"}, From: 0, To: 1})
	for name, tt := range map[string]struct {
		m    *pb.WriteRequest
		want api.Code
	}{
		"a point without a device":   {request("", 1), api.InvalidPoints},
		"a field without a value":    {&pb.WriteRequest{Database: "d", Collection: "c", Points: []*pb.Point{{Device: "a", Fields: []*pb.Field{{Name: "x"}}}}}, api.InvalidPoints},
		"packed and plain":           {&pb.WriteRequest{Database: "d", Packed: []byte{1}}, api.InvalidArgument},
		"packed rubbish":             {&pb.WriteRequest{Packed: []byte{9, 1, 2}}, api.InvalidArgument},
		"a delete among packed puts": {&pb.WriteRequest{Packed: delete}, api.InvalidArgument},
		"a batch beyond its bytes":   {&pb.WriteRequest{Packed: make([]byte, 9<<20)}, api.TooLarge},
		"more points than are legal": {&pb.WriteRequest{Database: "d", Collection: "c", Points: make([]*pb.Point, 10_001)}, api.TooLarge},
	} {
		for i := range tt.m.GetPoints() {
			if tt.m.Points[i] == nil {
				tt.m.Points[i] = &pb.Point{}
			}
		}
		_, err := cl.Write(t.Context(), tt.m)
		s := status.Convert(err)
		if len(s.Details()) != 1 {
			t.Errorf("%s: no problem in %v", name, err)
			continue
		}
		if p, ok := s.Details()[0].(*pb.Problem); !ok || api.Code(p.GetCode()) != tt.want {
			t.Errorf("%s: %v, want %s", name, p, tt.want)
		}
	}
	if got := c.Proposals(0); got != 0 {
		t.Errorf("%d proposals", got)
	}
}

func TestStreamAnswersEachWriteByItsID(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := pb.NewFlotillaClient(dial(t, c.Nodes[0])).WriteStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	const n = 3000 // more than may be in flight
	go func() {
		for i := range uint64(n) {
			m := request("a", int64(i))
			if m.Id = i; i%10 == 0 {
				m.Points[0].Device = ""
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
		for _, r := range m.GetResults() {
			if seen[r.GetId()] || (r.GetProblem() != nil) != (r.GetId()%10 == 0) {
				t.Fatalf("result %v", r)
			}
			seen[r.GetId()] = true
		}
	}
	if len(seen) != n {
		t.Fatalf("%d results of %d", len(seen), n)
	}
}

func TestClientThatVanishesInMidStreamLeavesNoWrites(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{})
	c.OnPropose(func(string, uint32) error { return fakecluster.ErrHang })
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := pb.NewFlotillaClient(dial(t, c.Nodes[0])).WriteStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint64(100) {
		m := request("a", int64(i))
		m.Id = i
		if err := stream.Send(m); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if _, err := stream.Recv(); status.Code(err) != codes.Canceled {
		t.Fatal(err)
	} // goleak and the cluster's Close see that the writes ended
}

func TestHealthAndReflection(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{Nodes: 1})
	cc := dial(t, c.Nodes[0])
	for _, ready := range []bool{true, false} {
		c.Nodes[0].Server.SetReady(ready)
		r, err := healthpb.NewHealthClient(cc).Check(t.Context(), &healthpb.HealthCheckRequest{Service: "flotilla.v1.Flotilla"})
		if err != nil || (r.GetStatus() == healthpb.HealthCheckResponse_SERVING) != ready {
			t.Fatalf("ready %v: %v %v", ready, r, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	refl, err := reflectionpb.NewServerReflectionClient(cc).ServerReflectionInfo(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := refl.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}}); err != nil {
		t.Fatal(err)
	}
	m, err := refl.Recv()
	if err != nil || len(m.GetListServicesResponse().GetService()) < 3 {
		t.Fatalf("%v %v", m, err)
	}
}

func TestPeerScanRefusesAWrongQuery(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{Nodes: 1})
	stream, err := pb.NewPeerClient(dial(t, c.Nodes[0])).Scan(t.Context(), &pb.ScanRequest{Query: &pb.QueryRequest{Database: "d"}, Groups: []uint32{1}})
	if err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.InvalidArgument {
		t.Fatal(err)
	}
	if _, err := c.Nodes[0].Gateway.Serve(t.Context(), c.Nodes[0].ID(), gateway.Method(250), nil); err == nil {
		t.Fatal("an unknown method was served")
	}
}

func TestDeviceNamedTwiceIsMeantOnce(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{})
	cl := pb.NewFlotillaClient(dial(t, c.Nodes[0]))
	if _, err := cl.Write(t.Context(), request("a", 5)); err != nil {
		t.Fatal(err)
	}
	stream, err := cl.Query(t.Context(), &pb.QueryRequest{Database: "d", Collection: "c", Devices: []string{"a", "a"}, Fields: []string{"v", "v"}})
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for {
		reply, err := stream.Recv()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		rows += len(reply.GetTimes())
	}
	if rows != 1 {
		t.Errorf("%d rows of one point", rows)
	}
	if r, err := cl.Delete(t.Context(), &pb.DeleteRequest{Database: "d", Collection: "c", Devices: []string{"a", "a"}}); err != nil || r.GetGroups() != 1 {
		t.Errorf("delete: %v %v", r, err)
	}
}

func TestPlansOverGRPC(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{})
	cl := pb.NewFlotillaClient(dial(t, c.Nodes[1]))
	for kind, call := range map[string]func() (*pb.Document, error){
		api.JobVerify: func() (*pb.Document, error) { return cl.PlanVerify(t.Context(), &pb.VerifyRequest{}) },
		api.JobTrim:   func() (*pb.Document, error) { return cl.PlanTrim(t.Context(), &pb.GroupsRequest{Groups: []uint32{3}}) },
		api.JobStepDown: func() (*pb.Document, error) {
			return cl.PlanStepDown(t.Context(), &pb.GroupRequest{Group: 3, To: "n3"})
		},
	} {
		m, err := call()
		var p api.Plan
		if err == nil {
			err = json.Unmarshal([]byte(m.GetJson()), &p)
		}
		if err != nil || p.Kind != kind || !p.DryRun || len(p.Groups) == 0 {
			t.Errorf("%s: %s %v", kind, m.GetJson(), err)
		}
	}
	if jobs, _, err := c.Nodes[0].Gateway.ListJobs(t.Context(), gateway.JobFilter{}); err != nil || len(jobs) > 0 || c.Leader(3) != "n1" {
		t.Errorf("jobs %v, leader %s, %v", jobs, c.Leader(3), err)
	}
}
