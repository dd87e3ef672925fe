package transfer

import (
	"time"

	"github.com/flotilla-db/flotilla/storage/digest"
	"github.com/klauspost/compress/zstd"
)

// Message is one message of an answer: the head, then the payload. The slices of the payload lie where the LeafReader has put
// them.
type Message struct {
	Head    []byte
	Payload [][]byte
	// Sent gives the memory of the payload back. Whoever sends calls it once, when nobody reads it any more, or never.
	Sent func()
}

// WireBytes is the size of the message.
func (m Message) WireBytes() int {
	n := len(m.Head)
	for _, b := range m.Payload {
		n += len(b)
	}
	return n
}

// packer fills messages with leaves. A leaf goes on in the next message where one is full.
type packer struct {
	size int           // of a payload, before compression
	zstd *zstd.Encoder // nil: nothing is compressed
	try  *samples      // with zstd
	send func(Message) error

	head    messageHead
	payload [][]byte
	lent    []*lentLeaf // what the payload lies in
	began   time.Time   // of the work on this message
}

func (p *packer) add(leaf digest.Leaf, l *lentLeaf) error {
	leafBytes := *l.bytes
	total, offset := uint64(len(leafBytes)), uint64(0)
	for {
		room := p.size - int(p.head.raw)
		n := min(room, len(leafBytes))
		p.head.parts = append(p.head.parts, part{leaf: leaf, total: total, offset: offset, length: uint32(n)})
		p.head.raw += uint32(n)
		p.payload = append(p.payload, leafBytes[:n])
		p.lent = append(p.lent, l.hold())
		leafBytes, offset = leafBytes[n:], offset+uint64(n)
		if int(p.head.raw) == p.size || len(p.head.parts) == maxParts {
			if err := p.flush(); err != nil {
				return err
			}
		}
		if len(leafBytes) == 0 {
			return nil
		}
	}
}

// flush sends what is there.
func (p *packer) flush() error {
	if len(p.head.parts) == 0 {
		return nil
	}
	p.head.encoding = encodingPlain
	payload := p.payload
	if p.zstd != nil {
		if frame := p.try.compress(p.zstd, payload, int(p.head.raw)); frame != nil {
			p.head.encoding, payload = encodingZstd, [][]byte{frame}
		}
	}
	p.head.work = int64(time.Since(p.began))
	m := Message{Head: p.head.append(make([]byte, 0, messageHeadBytes+len(p.head.parts)*partBytes)), Payload: payload, Sent: releasing(p.lent)}
	p.head.parts, p.head.raw, p.payload, p.lent = p.head.parts[:0], 0, nil, nil
	err := p.send(m)
	p.began = time.Now()
	return err
}
