package leafstream

import (
	"bytes"
	"fmt"
	"sync/atomic"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
)

// codecName is the content subtype of our messages.
const codecName = "flotilla-leaves"

// The server looks codecs up by the call's content subtype; registration is gRPC's, and global.
func init() { encoding.RegisterCodecV2(rawCodec{}) }

// outMessage is a message that leaves, in slices that nobody changes until gRPC has written them, which may be after
// Send returned.
type outMessage struct {
	slices [][]byte
	sent   func() // called once gRPC has written all; nil: nobody waits. Where it fails it may never be
}

// writing gives slices to gRPC, as the pool that they go back to.
type writing struct {
	left atomic.Int32
	sent func()
}

// Get implements mem.BufferPool: nothing is taken from here.
func (*writing) Get(length int) *[]byte {
	b := make([]byte, length)
	return &b
}

// Put implements mem.BufferPool.
func (w *writing) Put(*[]byte) { w.done() }

func (w *writing) done() {
	if w.left.Add(-1) == 0 {
		w.sent()
	}
}

// buffers are the slices as gRPC takes them. It does not tell when it has written short ones: those are copied.
func (w *writing) buffers(slices [][]byte) mem.BufferSlice {
	list := make(mem.BufferSlice, 0, len(slices))
	w.left.Store(1) // until all are counted
	for i := range slices {
		if mem.IsBelowBufferPoolingThreshold(cap(slices[i])) {
			list = append(list, mem.SliceBuffer(bytes.Clone(slices[i])))
			continue
		}
		w.left.Add(1)
		list = append(list, mem.NewBuffer(&slices[i], w))
	}
	w.done()
	return list
}

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
	if m.sent != nil {
		w := &writing{sent: m.sent}
		return w.buffers(m.slices), nil
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
