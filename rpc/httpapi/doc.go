// Package httpapi is the HTTP face of a node: it translates requests to the
// gateway and answers the objects of package api as JSON.
//
// It decides nothing and holds no state. Unknown parameters and body keys are
// errors with a hint; every error is application/problem+json, 404 and 405
// included. Bodies are bounded after decompression. Query answers stream: an
// error that comes after the first bytes breaks the connection, so that no
// client takes a part for the whole.
//
// New gives a handler; its http.Server belongs to the composition root.
package httpapi
