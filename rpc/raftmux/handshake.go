package raftmux

import (
	"crypto/rand"
	"errors"
	"fmt"

	"google.golang.org/grpc/mem"

	"github.com/flotilla-db/flotilla/membership"
)

// stream is what handshake and links need of a gRPC stream, at either end.
type stream interface {
	SendMsg(m any) error
	RecvMsg(m any) error
}

// sendFrame sends one frame as a message of its own.
func sendFrame(s stream, frame []byte) error {
	return s.SendMsg(&outMessage{mem.BufferSlice{mem.SliceBuffer(appendFrame(nil, frame))}})
}

// receiveFrame receives a message that holds exactly one frame.
func receiveFrame(s stream) (kind byte, f *fields, err error) {
	var in inMessage
	if err := s.RecvMsg(&in); err != nil {
		return 0, nil, err
	}
	message := append([]byte(nil), in.bytes()...)
	in.free()
	kind, body, rest, ok := nextFrame(message)
	if !ok || len(rest) > 0 {
		return 0, nil, errMalformed
	}
	return kind, &fields{rest: body}, nil
}

// openHandshake is the opener's part.
func (m *Mux) openHandshake(s stream, peer membership.NodeID) error {
	x := exchange{cluster: m.config.ClusterID(), opener: m.config.Local, acceptor: peer}
	rand.Read(x.openerNonce[:])
	h := hello{version: protocolVersion, cluster: x.cluster, opener: x.opener, wanted: peer, nonce: x.openerNonce}
	if err := sendFrame(s, appendHello(nil, h)); err != nil {
		return err
	}
	f, err := expect(s, kindChallenge)
	if err != nil {
		return err
	}
	acceptor, nonce, proof, err := readChallenge(f)
	if err != nil {
		return err
	}
	if acceptor != peer {
		return &refusedError{refuseNode, fmt.Sprintf("node %s answers at the address of %s", acceptor, peer)}
	}
	x.acceptorNonce = nonce
	if err := x.check(m.config.Key, roleAcceptor, proof); err != nil {
		return err
	}
	if err := sendFrame(s, appendProof(nil, x.proof(m.config.Key, roleOpener))); err != nil {
		return err
	}
	_, err = expect(s, kindWelcome)
	return err
}

// expect receives a frame of that kind, or the peer's refusal.
func expect(s stream, want byte) (*fields, error) {
	kind, f, err := receiveFrame(s)
	switch {
	case err != nil:
		return nil, err
	case kind == kindRefuse:
		return nil, readRefuse(f)
	case kind != want:
		return nil, fmt.Errorf("%w: frame %d in the handshake", errMalformed, kind)
	}
	return f, nil
}

// acceptHandshake is the acceptor's part; it tells the opener a refusal. The
// welcome is not sent yet: the incoming link must be known first.
func (m *Mux) acceptHandshake(s stream) (membership.NodeID, error) {
	peer, err := m.judge(s)
	var refused *refusedError
	if errors.As(err, &refused) {
		if err := sendFrame(s, appendRefuse(nil, refused)); err != nil {
			return peer, err
		}
	}
	return peer, err
}

func (m *Mux) judge(s stream) (membership.NodeID, error) {
	f, err := expect(s, kindHello)
	if err != nil {
		return membership.NodeID{}, err
	}
	h, err := readHello(f)
	if err != nil {
		return h.opener, err
	}
	cluster := m.config.ClusterID()
	if err := judgeHello(h, m.config.Local, cluster); err != nil {
		return h.opener, err
	}
	x := exchange{cluster: cluster, opener: h.opener, acceptor: m.config.Local, openerNonce: h.nonce}
	rand.Read(x.acceptorNonce[:])
	if err := sendFrame(s, appendChallenge(nil, x.acceptor, x.acceptorNonce, x.proof(m.config.Key, roleAcceptor))); err != nil {
		return h.opener, err
	}
	if f, err = expect(s, kindProof); err != nil {
		return h.opener, err
	}
	proof, err := readProof(f)
	if err != nil {
		return h.opener, err
	}
	return h.opener, x.check(m.config.Key, roleOpener, proof)
}
