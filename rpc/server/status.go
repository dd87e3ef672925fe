package server

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/pb"
)

// grpcCodes is how each documented code looks to a client that knows gRPC
// only. Unknown outcomes are DEADLINE_EXCEEDED and never UNAVAILABLE, which
// clients repeat by themselves.
var grpcCodes = map[api.Code]codes.Code{
	api.InvalidArgument:    codes.InvalidArgument,
	api.InvalidPoints:      codes.InvalidArgument,
	api.NotNumeric:         codes.FailedPrecondition,
	api.ResultTooLarge:     codes.ResourceExhausted,
	api.NotFound:           codes.NotFound,
	api.DatabaseNotFound:   codes.NotFound,
	api.CollectionNotFound: codes.NotFound,
	api.GroupNotFound:      codes.NotFound,
	api.NodeNotFound:       codes.NotFound,
	api.JobNotFound:        codes.NotFound,
	api.MethodNotAllowed:   codes.Unimplemented,
	api.AlreadyExists:      codes.AlreadyExists,
	api.Conflict:           codes.FailedPrecondition,
	api.TooLarge:           codes.InvalidArgument,
	api.UnsupportedMedia:   codes.InvalidArgument,
	api.NotAcceptable:      codes.InvalidArgument,
	api.Busy:               codes.ResourceExhausted,
	api.NotApplied:         codes.Unavailable,
	api.NoLeader:           codes.Unavailable,
	api.OutcomeUnknown:     codes.DeadlineExceeded,
	api.PartlyApplied:      codes.DeadlineExceeded,
	api.NoSpace:            codes.ResourceExhausted,
	api.Unavailable:        codes.Unavailable,
	api.NotReady:           codes.Unavailable,
	api.Stale:              codes.Unavailable,
	api.Cancelled:          codes.Canceled,
	api.ClockOff:           codes.FailedPrecondition,
	api.Internal:           codes.Internal,
	api.Unimplemented:      codes.Unimplemented,
	api.IncompatiblePeer:   codes.Unavailable,
	api.ConfirmationNeeded: codes.InvalidArgument,
}

// statusOf makes a gRPC error of an error of the gateway, nil of nil.
func statusOf(err error) error {
	if err == nil {
		return nil
	}
	_, ours := errors.AsType[*api.Error](err) // perhaps because of a gRPC error between nodes
	if _, ok := status.FromError(err); ok && !ours {
		return err // of the stream itself
	}
	if errors.Is(err, context.Canceled) {
		return status.FromContextError(err).Err()
	}
	e := api.AsError(err)
	code, ok := grpcCodes[e.Code]
	if !ok {
		code = codes.Internal
	}
	s, detailed := status.New(code, e.Error()).WithDetails(pb.ProblemMessage(e))
	if detailed != nil {
		return status.Error(code, e.Error())
	}
	return s.Err()
}
