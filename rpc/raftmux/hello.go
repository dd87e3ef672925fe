package raftmux

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/flotilla-db/flotilla/membership"
)

// protocolVersion of frames and handshake. Another one is refused.
const protocolVersion = 1

// The handshake is four frames, each a message of its own:
//
//	opener -> hello      "FLMX" | version u8 | cluster | opener's node | wanted node | nonce 32 B
//	       <- challenge  node | nonce 32 B | proof
//	       -> proof      proof
//	       <- welcome    (nothing)
//	or, instead of the last two answers:
//	       <- refuse     code u8 | text rest
//
//	strings and proofs = length uvarint | bytes; a proof is empty without a key
//	proof = HMAC-SHA256(key, role | cluster | opener | acceptor | opener's nonce | acceptor's nonce)
//
// The role keeps one side's proof from serving as the other's.
const (
	helloMagic   = "FLMX"
	nonceSize    = 32
	roleOpener   = "flotilla-mux opener"
	roleAcceptor = "flotilla-mux acceptor"
)

// refusal says why a stream was refused.
type refusal uint8

const (
	refuseVersion    refusal = iota + 1 // another protocol version
	refuseNoCluster                     // the peer has no cluster yet: soon again
	refuseCluster                       // another cluster
	refuseNode                          // another node, or incarnation, has that address
	refuseKey                           // another cluster key, or one side has none
	refuseShutdown                      // the peer is shutting down
	refuseCrowded                       // the peer knows too many nodes
	refuseUnreadable                    // the hello could not be read
)

// refusedError is a stream that was refused, by the peer or by us.
type refusedError struct {
	code refusal
	text string
}

func (e *refusedError) Error() string { return "stream refused: " + e.text }
func (e *refusedError) Unwrap() error { return ErrHandshake }

// lasting reports whether trying again soon is pointless.
func (e *refusedError) lasting() bool {
	return e.code != refuseNoCluster && e.code != refuseShutdown && e.code != refuseCrowded
}

type hello struct {
	version        uint8
	cluster        string
	opener, wanted membership.NodeID
	nonce          [nonceSize]byte
}

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// text reads a bounded string.
func (f *fields) text() string {
	n := f.uvarint()
	if n > maxName {
		f.fail()
	}
	return string(f.bytes(n))
}

// node reads a node id.
func (f *fields) node() membership.NodeID {
	id, err := membership.ParseNodeID(f.text())
	if err != nil {
		f.fail()
	}
	return id
}

func (f *fields) nonce() (n [nonceSize]byte) {
	copy(n[:], f.bytes(nonceSize))
	return n
}

func appendHello(dst []byte, h hello) []byte {
	dst = append(append(append(dst, kindHello), helloMagic...), h.version)
	dst = appendString(dst, h.cluster)
	dst = appendString(dst, h.opener.String())
	dst = appendString(dst, h.wanted.String())
	return append(dst, h.nonce[:]...)
}

// readHello reads as far as the version is known: the rest of another
// version's hello may look different.
func readHello(f *fields) (hello, error) {
	if string(f.bytes(uint64(len(helloMagic)))) != helloMagic {
		return hello{}, &refusedError{refuseUnreadable, "not a flotilla stream"}
	}
	h := hello{version: f.byte()}
	if h.version != protocolVersion {
		return h, &refusedError{refuseVersion, fmt.Sprintf("protocol version %d here, %d there", protocolVersion, h.version)}
	}
	h.cluster, h.opener, h.wanted, h.nonce = f.text(), f.node(), f.node(), f.nonce()
	if f.err() != nil {
		return h, &refusedError{refuseUnreadable, "unreadable hello"}
	}
	return h, nil
}

// judgeHello decides whether a hello may go on to the proofs.
func judgeHello(h hello, local membership.NodeID, cluster string) error {
	switch {
	case cluster == "":
		return &refusedError{refuseNoCluster, "this node belongs to no cluster yet"}
	case h.cluster != cluster:
		return &refusedError{refuseCluster, fmt.Sprintf("cluster %s here, %s there", cluster, h.cluster)}
	case h.wanted != local:
		return &refusedError{refuseNode, fmt.Sprintf("this is node %s, not %s", local, h.wanted)}
	case h.opener == local:
		return &refusedError{refuseNode, fmt.Sprintf("node %s called itself: is its data directory in use twice?", local)}
	}
	return nil
}

// exchange is what both proofs cover.
type exchange struct {
	cluster          string
	opener, acceptor membership.NodeID
	openerNonce      [nonceSize]byte
	acceptorNonce    [nonceSize]byte
}

// proof is empty when there is no key.
func (x exchange) proof(key []byte, role string) []byte {
	if len(key) == 0 {
		return nil
	}
	text := appendString(nil, role)
	text = appendString(text, x.cluster)
	text = appendString(text, x.opener.String())
	text = appendString(text, x.acceptor.String())
	text = append(text, x.openerNonce[:]...)
	text = append(text, x.acceptorNonce[:]...)
	mac := hmac.New(sha256.New, key)
	mac.Write(text)
	return mac.Sum(nil)
}

// check compares the peer's proof with ours.
func (x exchange) check(key []byte, role string, proof []byte) error {
	if hmac.Equal(x.proof(key, role), proof) {
		return nil
	}
	text := "the cluster keys differ"
	switch {
	case len(key) == 0:
		text = "the peer has a cluster key, this node has none"
	case len(proof) == 0:
		text = "this node has a cluster key, the peer has none"
	}
	return &refusedError{refuseKey, text}
}

func appendChallenge(dst []byte, acceptor membership.NodeID, nonce [nonceSize]byte, proof []byte) []byte {
	dst = appendString(append(dst, kindChallenge), acceptor.String())
	dst = append(dst, nonce[:]...)
	return appendString(dst, string(proof))
}

func readChallenge(f *fields) (acceptor membership.NodeID, nonce [nonceSize]byte, proof []byte, err error) {
	acceptor, nonce, proof = f.node(), f.nonce(), []byte(f.text())
	return acceptor, nonce, proof, f.err()
}

func appendProof(dst, proof []byte) []byte {
	return appendString(append(dst, kindProof), string(proof))
}

func readProof(f *fields) ([]byte, error) {
	proof := []byte(f.text())
	return proof, f.err()
}

func appendRefuse(dst []byte, e *refusedError) []byte {
	return append(append(dst, kindRefuse, byte(e.code)), cleanText(e.text)...)
}

func readRefuse(f *fields) *refusedError {
	e := &refusedError{code: refusal(f.byte())}
	e.text = cleanText(string(f.tail()))
	return e
}
