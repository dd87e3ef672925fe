package server

import (
	"google.golang.org/grpc"

	"github.com/flotilla-db/flotilla/rpc/gateway"
	"github.com/flotilla-db/flotilla/rpc/pb"
	"github.com/flotilla-db/flotilla/storage/blocks"
)

func rowSender(stream grpc.ServerStreamingServer[pb.QueryReply]) gateway.Rows {
	return func(device string, c *blocks.Columns) error { return stream.Send(pb.RowsMessage(device, c)) }
}
