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
// What was certainly not applied is sent again, elsewhere, until the context
// or Options.RetryFor ends. What may have been applied is sent again too
// (Options.RetryUnknown), with the same timestamps: that is right for one
// writer a device. Errors are *api.Error; their Code is documented.
package client
