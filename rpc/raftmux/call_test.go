package raftmux

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/membership"
)

const echo Method = 1

func echoHandler(_ context.Context, from membership.NodeID, payload []byte) ([]byte, error) {
	return append([]byte(from.Name+":"), payload...), nil
}

func TestCallAnswersAcrossNodesAndLocally(t *testing.T) {
	bubble(t, func(t *testing.T) {
		_, nodes := cluster(t, 2)
		defer closeAll(nodes)
		nodes[1].Handle(echo, echoHandler)
		nodes[0].Handle(echo, echoHandler)
		for _, to := range nodes {
			got, err := nodes[0].Call(t.Context(), to.id, echo, []byte("hi"))
			if err != nil || string(got) != "n1:hi" {
				t.Fatalf("call to %s: %q, %v", to.id, got, err)
			}
		}
		big := bytes.Repeat([]byte("0123456789abcdef"), MaxPayload/16-16)
		got, err := nodes[0].Call(t.Context(), nodes[1].id, echo, big)
		if err != nil || !bytes.Equal(got[3:], big) {
			t.Fatalf("large call: %d bytes, %v", len(got), err)
		}
	})
}

func TestCallToADeadNodeIsUnreachable(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, nodes := cluster(t, 1)
		defer closeAll(nodes)
		_ = n
		begin := time.Now()
		_, err := nodes[0].Call(t.Context(), nodeID("n9"), echo, nil)
		if !errors.Is(err, ErrUnreachable) || errors.Is(err, ErrBroken) {
			t.Fatalf("call: %v", err)
		}
		if d := time.Since(begin); d > 10*time.Millisecond {
			t.Fatalf("took %v", d)
		}
	})
}
