package server

import (
	"context"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/gateway"
	"github.com/flotilla-db/flotilla/rpc/pb"
)

// The admin calls answer the same objects as HTTP, as their JSON.

// ListDatabases lists databases.
func (s *Server) ListDatabases(ctx context.Context, m *pb.ListRequest) (*pb.Document, error) {
	list, err := s.g.ListDatabases(ctx)
	page, next, err := paged(list, err, m, func(d api.Database) string { return d.Name })
	return document(api.DatabaseList{Databases: page, NextPageToken: next}, err)
}

// CreateDatabase makes a database.
func (s *Server) CreateDatabase(ctx context.Context, m *pb.DatabaseRequest) (*pb.Document, error) {
	db, _, err := s.g.CreateDatabase(ctx, m.GetName(), m.GetRetention())
	return document(db, err)
}

// SetDatabase changes a retention.
func (s *Server) SetDatabase(ctx context.Context, m *pb.DatabaseRequest) (*pb.Document, error) {
	return document(s.g.SetDatabase(ctx, m.GetName(), m.GetRetention()))
}

// DropDatabase drops a database with its points.
func (s *Server) DropDatabase(ctx context.Context, m *pb.DatabaseRequest) (*pb.Document, error) {
	return document(struct{}{}, s.g.DropDatabase(ctx, m.GetName()))
}

// ListCollections lists the collections of a database.
func (s *Server) ListCollections(ctx context.Context, m *pb.DatabaseRequest) (*pb.Document, error) {
	list, err := s.g.ListCollections(ctx, m.GetName())
	return document(api.CollectionList{Collections: list}, err)
}

// ListGroups is the group table.
func (s *Server) ListGroups(ctx context.Context, m *pb.ListRequest) (*pb.Document, error) {
	list, err := s.g.Groups(ctx)
	list = gateway.FilterGroups(list, m.GetState(), m.GetNode())
	page, next, err := paged(list, err, m, func(g api.Group) string { return gateway.GroupToken(g.GroupID) })
	return document(api.GroupList{Groups: page, NextPageToken: next}, err)
}

// GetGroup is one group.
func (s *Server) GetGroup(ctx context.Context, m *pb.GroupRequest) (*pb.Document, error) {
	return document(s.g.Group(ctx, m.GetGroup()))
}

// ListNodes is the node table.
func (s *Server) ListNodes(ctx context.Context, m *pb.ListRequest) (*pb.Document, error) {
	list, err := s.g.Nodes(ctx)
	page, next, err := paged(list, err, m, func(n api.Node) string { return n.Name })
	return document(api.NodeList{Nodes: page, NextPageToken: next}, err)
}

// GetDeviceGroup says which group holds a device.
func (s *Server) GetDeviceGroup(_ context.Context, m *pb.DeviceRequest) (*pb.Document, error) {
	return document(s.g.DeviceGroup(m.GetDatabase(), m.GetCollection(), m.GetDevice()))
}

func verifyRequest(m *pb.VerifyRequest) api.VerifyRequest {
	return api.VerifyRequest{Groups: m.GetGroups(), Mode: m.GetMode(), Deep: m.GetDeep(), Repair: m.GetRepair()}
}

// Verify starts a check.
func (s *Server) Verify(ctx context.Context, m *pb.VerifyRequest) (*pb.Document, error) {
	return document(s.g.Verify(ctx, verifyRequest(m)))
}

// Trim starts a trim.
func (s *Server) Trim(ctx context.Context, m *pb.GroupsRequest) (*pb.Document, error) {
	return document(s.g.Trim(ctx, m.GetGroups()))
}

// StepDown starts a hand-over.
func (s *Server) StepDown(ctx context.Context, m *pb.GroupRequest) (*pb.Document, error) {
	return document(s.g.StepDown(ctx, m.GetGroup(), m.GetTo()))
}

// PlanVerify says what Verify would do.
func (s *Server) PlanVerify(ctx context.Context, m *pb.VerifyRequest) (*pb.Document, error) {
	return document(s.g.PlanVerify(ctx, verifyRequest(m)))
}

// PlanTrim says what Trim would do.
func (s *Server) PlanTrim(ctx context.Context, m *pb.GroupsRequest) (*pb.Document, error) {
	return document(s.g.PlanTrim(ctx, m.GetGroups()))
}

// PlanStepDown says what StepDown would do.
func (s *Server) PlanStepDown(ctx context.Context, m *pb.GroupRequest) (*pb.Document, error) {
	return document(s.g.PlanStepDown(ctx, m.GetGroup(), m.GetTo()))
}

// Drill starts a drill.
func (s *Server) Drill(ctx context.Context, m *pb.DrillRequest) (*pb.Document, error) {
	return document(s.g.Drill(ctx, gateway.DrillRequest{Group: m.GetGroup(), Node: m.GetNode(), Kind: m.GetKind()}))
}

// ListJobs lists jobs, newest first.
func (s *Server) ListJobs(ctx context.Context, m *pb.ListRequest) (*pb.Document, error) {
	list, _, err := s.g.ListJobs(ctx, gateway.JobFilter{})
	if err != nil {
		return nil, err
	}
	page, next, err := gateway.PageOfJobs(list, int(m.GetLimit()), m.GetPageToken())
	return document(api.JobList{Jobs: page, NextPageToken: next}, err)
}

// GetJob is one job.
func (s *Server) GetJob(ctx context.Context, m *pb.JobRequest) (*pb.Document, error) {
	return document(s.g.GetJob(ctx, m.GetId()))
}

// CancelJob asks a job to end.
func (s *Server) CancelJob(ctx context.Context, m *pb.JobRequest) (*pb.Document, error) {
	return document(s.g.CancelJob(ctx, m.GetId()))
}

// GetVersion is the version of this node.
func (s *Server) GetVersion(context.Context, *pb.ListRequest) (*pb.Document, error) {
	return document(s.version, nil)
}

func paged[T any](list []T, err error, m *pb.ListRequest, token func(T) string) ([]T, string, error) {
	if err != nil {
		return nil, "", err
	}
	return gateway.Page(list, int(m.GetLimit()), m.GetPageToken(), token)
}
