package transfer

import (
	"bytes"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Compression pays on a link below slowLink, in bytes a second: one core compresses 140-370 MB/s where zstd works at
// all, and 250-280 MB/s go uncompressed between two shared cores.
const slowLink = 150e6

// A message is compressed when its sample shrinks to worthRatio of its size.
const (
	sampleBytes = 16 << 10
	worthRatio  = 0.85
)

// zstdWindow bounds what an encoder and a decoder keep, in bytes.
const zstdWindow = 256 << 10

// Compresses decides whether a source should compress: when the slowest of the link and the limits of the rate
// (bytes a second; 0: not known, or none) is slow. An unknown link counts as fast.
func Compresses(link float64, limits ...float64) bool {
	for _, l := range append(limits, link) {
		if l > 0 && l < slowLink {
			return true
		}
	}
	return false
}

// worthIt decides from a sample.
func worthIt(sample, compressed int) bool {
	return sample > 0 && float64(compressed) <= worthRatio*float64(sample)
}

// newEncoder makes an encoder. An encoder has channels of its own, so pools of them are a Server's, not global: tests
// in virtual time may not share them.
func newEncoder() any {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(zstdWindow), zstd.WithLowerEncoderMem(true))
	if err != nil {
		panic(err) // the options are constants
	}
	return e
}

// samples decides which messages a sample is taken of: where samples do not pay, ever fewer are taken. It is shared by all
// answers, which come one after the other from shards that are mostly alike.
type samples struct {
	mu   sync.Mutex
	rest int // messages that go uncompressed before the next sample
	gap  int // what rest becomes after a sample that does not pay: 1, 2, 4 up to maxSampleGap
}

// maxSampleGap bounds the messages that go uncompressed although they would compress.
const maxSampleGap = 32

// due reports whether a sample of this message is taken.
func (s *samples) due() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rest > 0 {
		s.rest--
		return false
	}
	return true
}

// paid notes what a sample has shown.
func (s *samples) paid(yes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if yes {
		s.rest, s.gap = 0, 0
		return
	}
	s.gap = min(max(2*s.gap, 1), maxSampleGap)
	s.rest = s.gap
}

// compress gives the zstd frame of a payload, or nil when a sample says that it does not pay, or none is due.
func (s *samples) compress(e *zstd.Encoder, payload [][]byte, bytesAll int) []byte {
	if !s.due() {
		return nil
	}
	sample := sampleOf(payload, bytesAll)
	worth := worthIt(len(sample), len(e.EncodeAll(sample, nil)))
	s.paid(worth)
	if !worth {
		return nil
	}
	out := bytes.NewBuffer(make([]byte, 0, bytesAll/2))
	e.Reset(out)
	defer e.Reset(nil)
	for _, b := range payload {
		if _, err := e.Write(b); err != nil {
			return nil
		}
	}
	if e.Close() != nil || !worthIt(bytesAll, out.Len()) {
		return nil
	}
	return out.Bytes()
}

// sampleOf is a piece from the middle of the payload's largest slice.
func sampleOf(payload [][]byte, bytesAll int) []byte {
	var largest []byte
	for _, b := range payload {
		if len(b) > len(largest) {
			largest = b
		}
	}
	from := max(0, len(largest)-sampleBytes) / 2
	return largest[from:min(len(largest), from+sampleBytes)]
}

// expander reads payloads out of zstd frames. Nobody knows beforehand what comes out of one: the caller reads no more
// than the parts say.
type expander struct{ decoder *zstd.Decoder }

// frame begins with the next frame.
func (e *expander) frame(r io.Reader) (io.Reader, error) {
	if e.decoder == nil {
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(zstdWindow), zstd.WithDecoderMaxMemory(MaxMessageBytes+zstdWindow))
		if err != nil {
			panic(err) // the options are constants
		}
		e.decoder = d
	}
	if err := e.decoder.Reset(r); err != nil {
		return nil, fmt.Errorf("%w: not a zstd frame: %w", ErrMessage, err)
	}
	return e.decoder, nil
}

func (e *expander) close() {
	if e.decoder != nil {
		e.decoder.Close()
		e.decoder = nil
	}
}
