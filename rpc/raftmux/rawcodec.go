package raftmux

import (
	"fmt"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
)

// codecName is the content subtype of our messages.
const codecName = "flotilla-frames"

// The server looks codecs up by the stream's content subtype, so that the rest
// of its services keep protobuf; registration is gRPC's, and global.
func init() { encoding.RegisterCodecV2(rawCodec{}) }

// outMessage is a message that leaves. gRPC frees its buffers.
type outMessage struct{ buffers mem.BufferSlice }

// inMessage is a message that came in; free it when its frames were handled.
type inMessage struct{ buffer mem.Buffer }

func (m *inMessage) bytes() []byte { return m.buffer.ReadOnlyData() }

func (m *inMessage) free() {
	m.buffer.Free()
	m.buffer = nil
}

// rawCodec hands bytes through.
type rawCodec struct{}

func (rawCodec) Name() string { return codecName }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	m, ok := v.(*outMessage)
	if !ok {
		return nil, fmt.Errorf("raftmux: cannot send a %T", v)
	}
	return m.buffers, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	m, ok := v.(*inMessage)
	if !ok {
		return fmt.Errorf("raftmux: cannot receive a %T", v)
	}
	m.buffer = data.MaterializeToBuffer(mem.DefaultBufferPool())
	return nil
}
