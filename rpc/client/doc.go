// Package client is the Go SDK of Flotilla.
//
//	c, err := client.New(client.Options{Addrs: []string{"127.0.0.1:7600"}})
//	_, err = c.Write(ctx, []client.Point{{
//		Series: client.Series{Database: "plant", Collection: "pumps", Device: "p-17"},
//		Time:   time.Now().UnixNano(),
//		Fields: []client.Field{{Name: "rpm", Value: client.Float(1450)}},
//	}})
//
// A Client holds one connection an address (Options.Connections changes
// that), and on each one stream over which all callers' writes travel side by
// side, and one for reads whose answers are probably small (querystream.go); the
// others are gRPC calls of their own. stream.go is what both have in common. A
// write is never merged with another caller's. Requests go round the addresses;
// any node answers for the whole cluster.
//
// A read costs less at the node that leads its group. Answers say which
// that is, and small reads then go there at once (routes.go, leaderread.go), over
// a connection that the Client was given or, where it was given none to that
// node, one to the address that the node advertises (reach.go). That is a matter
// of speed only: the node that is asked checks that it leads, no read waits for
// such a connection or fails of it, a connection that ends at another node than
// it should is not used, and a node that does not answer within two seconds is
// passed by. An address that cannot be reached, behind NAT for instance, is left
// alone for a minute at first, an hour at last. Options.OnlyAddrs turns all of
// that off. Writes, stale reads, reads of many groups and large answers go round.
//
// What was certainly not applied is sent again, elsewhere, until the context
// or Options.RetryFor ends. What may have been applied is sent again too
// (Options.RetryUnknown), with the same timestamps: that is right for one
// writer a device. Errors are *api.Error; their Code is documented.
package client
