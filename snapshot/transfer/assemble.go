package transfer

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// Assembler puts leaves together from the messages of one answer, and hands each to the receiver when it is whole.
// Leaf bytes are copied once, from where the message was received.
type Assembler struct {
	leaves []digest.Leaf
	sizes  []uint64
	to     Receiver

	next int     // the leaf that is being put together
	leaf *[]byte // its bytes so far; nil: none has come
	head messageHead
	zstd expander
}

// NewAssembler makes an Assembler of the answer to r.
func NewAssembler(r Request, to Receiver) *Assembler {
	return &Assembler{leaves: r.Leaves, sizes: r.Sizes, to: to}
}

// Message takes one message of wireBytes bytes. The receiver is asked first, and its errors are returned as they are;
// ErrMessage when the message is not what is due.
func (a *Assembler) Message(ctx context.Context, message io.Reader, wireBytes int) error {
	if err := a.head.read(message); err != nil {
		return err
	}
	if err := a.to.Arrived(ctx, Arrival{WireBytes: wireBytes, LeafBytes: int(a.head.raw), WorkNanos: a.head.work}); err != nil {
		return err
	}
	if a.head.encoding == encodingZstd {
		var err error
		if message, err = a.zstd.frame(message); err != nil {
			return err
		}
	}
	for _, p := range a.head.parts {
		if err := a.part(ctx, p, message); err != nil {
			return err
		}
	}
	var one [1]byte
	if n, err := io.ReadFull(message, one[:]); n > 0 || err != io.EOF {
		return fmt.Errorf("%w: something follows its parts", ErrMessage)
	}
	return nil
}

// part takes the bytes of one part.
func (a *Assembler) part(ctx context.Context, p part, payload io.Reader) error {
	if a.next == len(a.leaves) {
		return fmt.Errorf("%w: leaf %v comes after all that were asked for", ErrMessage, p.leaf)
	}
	leaf, size := a.leaves[a.next], a.sizes[a.next]
	if a.leaf == nil {
		if p.leaf == leaf && p.total == size {
			a.leaf = leafBuffers.get(int(size))
		} else {
			return fmt.Errorf("%w: leaf %v of %d bytes instead of %v of %d", ErrMessage, p.leaf, p.total, leaf, size)
		}
	}
	b := *a.leaf
	if p.leaf != leaf || p.total != size || p.offset != uint64(len(b)) || uint64(p.length) > size-uint64(len(b)) {
		return fmt.Errorf("%w: bytes %d+%d of leaf %v do not go on at %d of %v", ErrMessage, p.offset, p.length, p.leaf, len(b), leaf)
	}
	b = b[:len(b)+int(p.length)]
	if _, err := io.ReadFull(payload, b[p.offset:]); err != nil {
		return fmt.Errorf("%w: the payload of leaf %v is short", ErrMessage, leaf)
	}
	*a.leaf = b
	if uint64(len(b)) < size {
		return nil
	}
	defer a.forget()
	a.next++
	return a.to.Leaf(ctx, leaf, b)
}

// End says whether all leaves came: ErrIncomplete.
func (a *Assembler) End() error {
	if a.next < len(a.leaves) {
		return fmt.Errorf("%w: %d of %d, first %v", ErrIncomplete, len(a.leaves)-a.next, len(a.leaves), a.leaves[a.next])
	}
	return nil
}

// Close gives the buffers back.
func (a *Assembler) Close() {
	a.forget()
	a.zstd.close()
}

func (a *Assembler) forget() {
	if a.leaf != nil {
		leafBuffers.put(a.leaf)
		a.leaf = nil
	}
}

// leafBuffers keeps buffers from one leaf to the next. What is in use is bounded by MaxInFlight.
var leafBuffers buffers

// buffers is a pool of byte slices. A garbage collection empties it.
type buffers struct{ pool sync.Pool }

// get gives an empty slice that has room for size bytes.
func (p *buffers) get(size int) *[]byte {
	if b, ok := p.pool.Get().(*[]byte); ok && cap(*b) >= size {
		*b = (*b)[:0]
		return b
	}
	b := make([]byte, 0, size)
	return &b
}

func (p *buffers) put(b *[]byte) { p.pool.Put(b) }
