package leafstream

import (
	"fmt"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
)

// codecName is the content subtype of our messages.
const codecName = "flotilla-leaves"

// The server looks codecs up by the call's content subtype; registration is gRPC's, and global.
func init() { encoding.RegisterCodecV2(rawCodec{}) }

// outMessage is a message that leaves, in slices that nobody changes until gRPC has written them, which may be after
// Send returned.
type outMessage struct{ slices [][]byte }

// inMessage is a message that came in. It holds gRPC's buffers: free it.
type inMessage struct{ buffers mem.BufferSlice }

func (m *inMessage) free() {
	m.buffers.Free()
	m.buffers = nil
}

// rawCodec hands bytes through.
type rawCodec struct{}

func (rawCodec) Name() string { return codecName }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	m, ok := v.(*outMessage)
	if !ok {
		return nil, fmt.Errorf("leafstream: cannot send a %T", v)
	}
	buffers := make(mem.BufferSlice, 0, len(m.slices))
	for _, b := range m.slices {
		buffers = append(buffers, mem.SliceBuffer(b))
	}
	return buffers, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	m, ok := v.(*inMessage)
	if !ok {
		return fmt.Errorf("leafstream: cannot receive a %T", v)
	}
	data.Ref() // gRPC gives its own reference back when we return
	m.buffers = data
	return nil
}
