package server

import (
	"context"
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/gateway"
	"github.com/flotilla-db/flotilla/rpc/pb"
)

func resyncOptions(from string, m *pb.ResyncOptions) gateway.ResyncOptions {
	o := gateway.ResyncOptions{From: from, Mode: m.GetMode(), MaxPause: time.Duration(m.GetMaxPauseMs()) * time.Millisecond,
		Rate: int64(m.GetRate())} // beyond an int64 it is below 0: refused
	if m != nil && m.LeaderShare != nil {
		o.LeaderShare = m.LeaderShare
	}
	return o
}

func resyncRequest(m *pb.ResyncRequest) gateway.ResyncRequest {
	return gateway.ResyncRequest{Groups: m.GetGroups(), Target: m.GetTarget(), ResyncOptions: resyncOptions(m.GetFrom(), m.GetOptions())}
}

func moveRequest(m *pb.MoveRequest) gateway.MoveRequest {
	return gateway.MoveRequest{Group: m.GetGroup(), A: m.GetFrom(), B: m.GetTo(), ResyncOptions: resyncOptions("", m.GetOptions())}
}

// Resync starts a job for each group.
func (s *Server) Resync(ctx context.Context, m *pb.ResyncRequest) (*pb.Document, error) {
	jobs, err := s.g.Resync(ctx, resyncRequest(m))
	if jobs == nil {
		jobs = []api.Job{}
	}
	return document(api.JobList{Jobs: jobs}, err)
}

// PlanResync says what Resync would do.
func (s *Server) PlanResync(ctx context.Context, m *pb.ResyncRequest) (*pb.Document, error) {
	return document(s.g.PlanResync(ctx, resyncRequest(m)))
}

// Move starts the move of a replica.
func (s *Server) Move(ctx context.Context, m *pb.MoveRequest) (*pb.Document, error) {
	return document(s.g.Move(ctx, moveRequest(m)))
}

// PlanMove says what Move would do.
func (s *Server) PlanMove(ctx context.Context, m *pb.MoveRequest) (*pb.Document, error) {
	return document(s.g.PlanMove(ctx, moveRequest(m)))
}
