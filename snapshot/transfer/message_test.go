package transfer

import (
	"bytes"
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// collector is a Receiver that keeps what comes.
type collector struct {
	leaves   map[digest.Leaf]string
	arrivals []Arrival
}

func (c *collector) Arrived(_ context.Context, a Arrival) error {
	c.arrivals = append(c.arrivals, a)
	return nil
}

func (c *collector) Leaf(_ context.Context, leaf digest.Leaf, b []byte) error {
	c.leaves[leaf] = string(b)
	return nil
}

// answer is what a Server sends to a request for everything, joined message by message.
func answer(t testing.TB, leaves shard, q Request) (messages [][]byte) {
	t.Helper()
	s := NewServer(ServerOptions{Views: &replica{shard: leaves}})
	err := s.Serve(context.Background(), q, func(m Message) error {
		b := bytes.Join(append([][]byte{m.Head}, m.Payload...), nil)
		if len(b) != m.WireBytes() {
			t.Errorf("%d bytes, WireBytes %d", len(b), m.WireBytes())
		}
		messages = append(messages, b)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return messages
}

func requestOf(want []digest.Entry) (q Request) {
	for _, e := range want {
		q.Leaves, q.Sizes = append(q.Leaves, e.Leaf), append(q.Sizes, e.Bytes)
	}
	return q
}

func TestLargeLeavesAreChunkedAndSmallOnesShareMessages(t *testing.T) {
	for name, c := range map[string]struct {
		sizes    []int
		asked    int
		messages int
	}{
		"many small":          {sizes(1000, 100), MinMessageBytes, 1},
		"exactly full":        {sizes(2, MinMessageBytes/2), MinMessageBytes, 1},
		"one large":           {sizes(1, 1<<20), MinMessageBytes, 8},
		"small around large":  {[]int{10, 300_000, 20}, MinMessageBytes, 3},
		"less than allowed":   {sizes(1, 1<<20), 1, 8},
		"more than allowed":   {sizes(1, MaxMessageBytes+1), 1 << 30, 2},
		"an empty leaf":       {[]int{0, 5, 0}, MinMessageBytes, 1},
		"more than the parts": {sizes(maxParts+1, 3), MinMessageBytes, 2},
	} {
		leaves, want := shardOf(c.sizes...)
		q := requestOf(want)
		q.MessageBytes = c.asked
		messages := answer(t, leaves, q)
		if len(messages) != c.messages {
			t.Errorf("%s: %d messages, want %d", name, len(messages), c.messages)
		}
		got := &collector{leaves: map[digest.Leaf]string{}}
		a := NewAssembler(q, got)
		for _, m := range messages {
			if len(m) > MaxMessageWire {
				t.Errorf("%s: a message of %d bytes", name, len(m))
			}
			if err := a.Message(t.Context(), bytes.NewReader(m), len(m)); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if err := a.End(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		a.Close()
		for leaf, b := range leaves {
			if got.leaves[leaf] != string(b) {
				t.Errorf("%s: leaf %v differs", name, leaf)
			}
		}
	}
}

func TestAssemblerRefusesWhatIsNotDue(t *testing.T) {
	leaves, want := shardOf(40, 300_000, 70)
	q := requestOf(want)
	q.MessageBytes = MinMessageBytes
	m := answer(t, leaves, q)
	change := func(b []byte, at int, to byte) []byte { b = bytes.Clone(b); b[at] = to; return b }
	first := messageHeadBytes // of the first part
	for name, c := range map[string]struct {
		messages [][]byte
		err      error
	}{
		"nothing":             {nil, ErrIncomplete},
		"the last is absent":  {m[:2], ErrIncomplete},
		"one twice":           {[][]byte{m[0], m[1], m[1]}, ErrMessage},
		"other order":         {[][]byte{m[1], m[0], m[2]}, ErrMessage},
		"after the end":       {append(append([][]byte{}, m...), m[2]), ErrMessage},
		"empty message":       {[][]byte{{}}, ErrMessage},
		"short head":          {[][]byte{m[0][:messageHeadBytes-1]}, ErrMessage},
		"short parts":         {[][]byte{m[0][:messageHeadBytes+3]}, ErrMessage},
		"short payload":       {[][]byte{m[0][:len(m[0])-1]}, ErrMessage},
		"long payload":        {[][]byte{append(bytes.Clone(m[0]), 0)}, ErrMessage},
		"other layout":        {[][]byte{change(m[0], 0, 2)}, ErrMessage},
		"unknown encoding":    {[][]byte{change(m[0], 1, 2)}, ErrMessage},
		"no zstd":             {[][]byte{change(m[0], 1, encodingZstd)}, ErrMessage},
		"raw too large":       {[][]byte{change(m[0], 4, 0x7f)}, ErrMessage},
		"other window":        {[][]byte{change(m[0], first, 9)}, ErrMessage},
		"other slot":          {[][]byte{change(m[0], first+8, 9)}, ErrMessage},
		"other leaf goes on":  {[][]byte{m[0], change(m[1], first+8, 9)}, ErrMessage},
		"other total goes on": {[][]byte{m[0], change(m[1], first+16, 9)}, ErrMessage},
		"total of the future": {[][]byte{change(m[0], first+9, 9)}, ErrMessage},
		"offset":              {[][]byte{change(m[0], first+17, 9)}, ErrMessage},
	} {
		got := &collector{leaves: map[digest.Leaf]string{}}
		a := NewAssembler(q, got)
		var err error
		for _, b := range c.messages {
			if err = a.Message(t.Context(), bytes.NewReader(b), len(b)); err != nil {
				break
			}
		}
		if err == nil {
			err = a.End()
		}
		a.Close()
		if !errors.Is(err, c.err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCompressionIsDecidedByLinkAndSample(t *testing.T) {
	for _, c := range []struct {
		link   float64
		limits []float64
		want   bool
	}{
		{0, nil, false}, {149e6, nil, true}, {151e6, nil, false}, {1e9, []float64{0, 64 << 20}, true}, {1e9, []float64{0, 200e6}, false}, {0, []float64{1e6}, true},
	} {
		if got := Compresses(c.link, c.limits...); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
	for _, c := range []struct {
		sample, compressed int
		want               bool
	}{{1000, 850, true}, {1000, 851, false}, {0, 0, false}, {10, 20, false}} {
		if got := worthIt(c.sample, c.compressed); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

func TestOnlyWhatCompressesIsCompressed(t *testing.T) {
	noise, want := shardOf(sizes(10, 100_000)...)
	q := requestOf(want)
	text := shard{}
	for leaf := range noise {
		text[leaf] = []byte(strings.Repeat("temperature 21.5 ", 6000))[:100_000]
	}
	for name, c := range map[string]struct {
		leaves   shard
		compress bool
		below    int // of the wire bytes
		above    int
	}{
		"text, asked":     {text, true, 200_000, 0},
		"text, not asked": {text, false, 1_100_000, 1_000_000},
		"noise, asked":    {noise, true, 1_100_000, 1_000_000},
	} {
		q.Compress = c.compress
		got, wire := &collector{leaves: map[digest.Leaf]string{}}, 0
		a := NewAssembler(q, got)
		for _, m := range answer(t, c.leaves, q) {
			wire += len(m)
			if err := a.Message(t.Context(), bytes.NewReader(m), len(m)); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if err := a.End(); err != nil || wire >= c.below || wire <= c.above {
			t.Errorf("%s: %d bytes on the wire, %v", name, wire, err)
		}
		a.Close()
		for leaf, b := range c.leaves {
			if got.leaves[leaf] != string(b) {
				t.Errorf("%s: leaf %v differs", name, leaf)
			}
		}
	}
}

// A slow link turns compression on by itself, a fast one leaves it off.
func TestSlowLinkIsNoticed(t *testing.T) {
	for _, c := range []struct{ speed, atMost, atLeast float64 }{{10e6, 0.5, 0}, {1e9, 1.1, 1}} {
		virtual(t, func(t *testing.T) {
			leaves, want := shard{}, []digest.Entry(nil)
			for i := range 64 {
				b := []byte(strings.Repeat("temperature 21.5 ", 6000))
				leaf := digest.Leaf{Window: int64(i)}
				leaves[leaf], want = b, append(want, entryOf(leaf, b))
			}
			s := newStage(t)
			result, err := Run(t.Context(), Plan{Want: want, Sources: sourcesOf(&replica{name: "a", shard: leaves, speed: c.speed})}, s.put, nil)
			if ratio := float64(result.WireBytes) / float64(result.Bytes); err != nil || ratio > c.atMost || ratio < c.atLeast {
				t.Errorf("%v bytes/s: %.2f of the bytes on the wire, %v", c.speed, ratio, err)
			}
		})
	}
}

func TestLinkSpeedLeavesOutTheSourcesWork(t *testing.T) {
	var slow, busy linkSpeed
	for range 10 {
		slow.arrived(Arrival{WireBytes: 1 << 20}, 10*time.Millisecond)
		busy.arrived(Arrival{WireBytes: 1 << 20, WorkNanos: int64(9 * time.Millisecond)}, 10*time.Millisecond)
	}
	if r := slow.rate(); r < 100e6 || r > 110e6 {
		t.Errorf("slow link: %v", r)
	}
	if r := busy.rate(); r < 1000e6 {
		t.Errorf("busy source: %v", r)
	}
}

func TestServerRefusesBeyondItsStreamsAndReleasesViews(t *testing.T) {
	virtual(t, func(t *testing.T) {
		leaves, want := shardOf(1000)
		r := &replica{shard: leaves}
		s := NewServer(ServerOptions{Views: r})
		hold := make(chan struct{})
		done := make(chan error, MaxStreams)
		for range MaxStreams {
			go func() {
				done <- s.Serve(context.Background(), requestOf(want), func(Message) error { <-hold; return nil })
			}()
		}
		time.Sleep(time.Second)
		if err := s.Serve(t.Context(), requestOf(want), nil); !errors.Is(err, ErrBusy) {
			t.Error(err)
		}
		close(hold)
		for range MaxStreams {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if r.open.Load() != 0 || len(s.slots) != 0 {
			t.Errorf("%d views open, %d streams", r.open.Load(), len(s.slots))
		}
	})
}

func FuzzRequest(f *testing.F) {
	_, want := shardOf(1, 2)
	q := requestOf(want)
	q.Sizes, q.Cut, q.Compress, q.Group, q.MessageBytes = nil, "cut", true, 255, 1<<20
	raw, err := AppendRequest(nil, q)
	if err != nil {
		f.Fatal(err)
	}
	if back, err := ParseRequest(raw); err != nil || !reflect.DeepEqual(back, q) {
		f.Fatal(back, err)
	}
	f.Add(raw)
	f.Fuzz(func(t *testing.T, b []byte) {
		q, err := ParseRequest(b)
		if err != nil {
			if !errors.Is(err, ErrMessage) {
				t.Fatal(err)
			}
			return
		}
		if again, err := AppendRequest(nil, q); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x, %v", again, err)
		}
	})
}

// No message makes the Assembler take more than was asked for, or end in anything but an error.
func FuzzMessage(f *testing.F) {
	leaves, want := shardOf(30, 200, 5)
	q := requestOf(want)
	for _, m := range answer(f, leaves, q) {
		f.Add(m)
	}
	for leaf := range leaves {
		leaves[leaf] = bytes.Repeat([]byte{7}, len(leaves[leaf]))
	}
	q.Compress = true
	for _, m := range answer(f, leaves, q) {
		f.Add(m)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got := &collector{leaves: map[digest.Leaf]string{}}
		a := NewAssembler(q, got)
		defer a.Close()
		for range 2 {
			if err := a.Message(context.Background(), bytes.NewReader(b), len(b)); err != nil && !errors.Is(err, ErrMessage) {
				t.Fatal(err)
			}
		}
		for leaf, b := range got.leaves {
			if len(b) != len(leaves[leaf]) {
				t.Fatalf("leaf %v has %d bytes", leaf, len(b))
			}
		}
	})
}
