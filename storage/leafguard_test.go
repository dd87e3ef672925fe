package storage

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/flotilla-db/flotilla/storage/blocks"
	"github.com/flotilla-db/flotilla/storage/digest"
)

// guidingClasses are the bytes that lead to records, and say where they lie.
var guidingClasses = []string{"leaf head", "leaf element", "block key", "series key", "digest key", "branch head", "branch element", "branch key",
	"bucket root", "inline bucket"}

// questions are all kinds of reads of a shard, each with its right answer.
type questions struct {
	names []string
	ask   []func(s *Shard) (string, error)
	right []string
}

func (q *questions) add(name string, ask func(s *Shard) (string, error)) {
	q.names, q.ask = append(q.names, name), append(q.ask, ask)
}

// newQuestions asks for every device: all points, the newest, and the few of a short time; for lists; and for digests.
func newQuestions(t *testing.T, s *Shard, devices []Series) *questions {
	t.Helper()
	q := new(questions)
	for i, series := range devices {
		for name, query := range map[string]Query{
			"all":    {Series: series, From: MinTime, To: NoEnd},
			"newest": {Series: series, From: MinTime, To: NoEnd, Descending: true, Limit: 1},
			"range":  {Series: series, From: 9 * int64(time.Second), To: 14 * int64(time.Second)},
		} {
			if name != "all" && i%4 != 0 {
				continue
			}
			q.add(fmt.Sprint(name, " of ", series), func(s *Shard) (string, error) {
				var text []byte
				err := s.Scan(t.Context(), query, func(_ Series, c *blocks.Columns) error {
					for row, at := range c.Times {
						text = fmt.Append(text, at)
						for _, f := range c.AppendFields(nil, row) {
							text = fmt.Append(text, " ", f.Name, f.Value)
						}
					}
					return nil
				})
				return string(text), err
			})
		}
	}
	q.add("list", func(s *Shard) (string, error) {
		list, err := s.Series("", "")
		return fmt.Sprint(list), err
	})
	q.add("leaves", func(s *Shard) (string, error) { // as copies, proofs and repairs read them
		var text []byte
		err := s.file.view("leaves", func(tx *bolt.Tx) error {
			r := newReader(s.file, tx)
			var leaves []digest.Leaf
			if err := r.leaves(func(leaf digest.Leaf) error { leaves = append(leaves, leaf); return nil }); err != nil {
				return err
			}
			for _, leaf := range leaves {
				d, err := r.hash(noCheck, digest.NewLeafHasher(leaf, uint32(blocks.FormatVersion)), leaf, s.windowNs)
				if err != nil {
					return err
				}
				text = fmt.Append(text, leaf, d)
			}
			return nil
		})
		return string(text), err
	})
	for i, ask := range q.ask {
		answer, err := ask(s)
		if err != nil || answer == "" && !bytes.HasPrefix([]byte(q.names[i]), []byte("range")) {
			t.Fatalf("%s: %q, %v", q.names[i], answer, err)
		}
		q.right = append(q.right, answer)
	}
	return q
}

// wrong asks everything, and names what was answered wrongly without an error.
func (q *questions) wrong(s *Shard) (wrong []string, met int, err error) {
	for i, ask := range q.ask {
		answer, e := ask(s)
		switch {
		case errors.Is(e, ErrDamaged):
			met++
		case e != nil:
			err = fmt.Errorf("%s: %w", q.names[i], e)
		case answer != q.right[i]:
			wrong = append(wrong, q.names[i])
		}
	}
	return wrong, met, err
}

// forgive makes a shard forget that it was found to be damaged.
func (s *Shard) forgive() {
	s.file.damaged.Store(nil)
	s.bad.drop()
}

// flipper flips bytes under a shard that is open, asks, and puts them back.
type flipper struct {
	s       *Shard
	q       *questions
	file    *os.File
	bytes   []byte
	flips   int
	silent  map[string]int // flips with a wrong answer and no error, a class
	unasked map[string]int // flips that no question met
}

func newFlipper(t *testing.T, s *Shard, q *questions) *flipper {
	t.Helper()
	s.file.onDamaged, s.file.onBadLeaf = nil, nil // nobody acts on it
	f := &flipper{s: s, q: q, silent: make(map[string]int), unasked: make(map[string]int)}
	var err error
	if f.file, err = os.OpenFile(s.o.Path, os.O_RDWR, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.file.Close() })
	if f.bytes, err = os.ReadFile(s.o.Path); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *flipper) flip(t *testing.T, class string, at int, pattern byte) {
	t.Helper()
	for _, b := range []byte{f.bytes[at] ^ pattern, f.bytes[at]} {
		if _, err := f.file.WriteAt([]byte{b}, int64(at)); err != nil {
			t.Fatal(err)
		}
		if b == f.bytes[at] {
			break
		}
		wrong, met, err := f.q.wrong(f.s)
		f.flips++
		if len(wrong) > 0 {
			f.silent[class]++
			if os.Getenv("COUNT") == "" {
				t.Errorf("%s, byte %d ^ %#x: wrong, and nobody says so: %v", class, at, pattern, wrong)
			}
		}
		if err != nil {
			t.Errorf("%s, byte %d ^ %#x: %v", class, at, pattern, err)
		}
		if met == 0 {
			f.unasked[class]++
			if err := f.s.file.lookAtAll("look"); !errors.Is(err, ErrDamaged) && class != "inline bucket" { // of which values are a part
				t.Errorf("%s, byte %d ^ %#x: a look at all pages finds nothing: %v", class, at, pattern, err)
			}
		}
	}
	f.s.forgive()
}

// smallShard has a few leaf pages of each bucket, below branch pages.
func smallShard(t *testing.T, rounds int) (*Shard, []Series) {
	t.Helper()
	o := testOptions(t)
	o.MaxParts = 3
	s := mustOpen(t, o)
	var devices []Series
	for round := range rounds {
		var points []Point
		for d := range 40 {
			p := point(fmt.Sprintf("device-with-a-long-name-%030d", d), int64(round)*4*int64(time.Second)+int64(d), "v", float64(d*round), "n", round*d)
			points = append(points, p)
			if round == 0 {
				devices = append(devices, p.Series)
			}
		}
		apply(t, s, AppendPut(nil, points))
		rootOf(t, s, fmt.Sprint(round))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return mustOpen(t, o), devices // it has nothing left to merge
}

// TestFlippedKeysAreNeverServed: whatever byte of what leads to records flips under an open shard, whoever reads gets the
// right answer, or is told. SOAK: every byte, in nine patterns.
func TestFlippedKeysAreNeverServed(t *testing.T) {
	random := rand.New(rand.NewPCG(41, 42))
	for name, rounds := range map[string]int{"pages": 9, "inline": 1} {
		s, devices := smallShard(t, rounds)
		f := newFlipper(t, s, newQuestions(t, s, devices))
		p := pristine{bytes: f.bytes}
		p.classify(t)
		for _, class := range guidingClasses {
			offsets := slices.Clone(p.classes[class])
			if name == "pages" && len(offsets) == 0 {
				t.Errorf("there is no %s", class)
			}
			patterns := []byte{1, 2, 4, 8, 16, 32, 64, 128, 255}
			if os.Getenv("SOAK") == "" {
				random.Shuffle(len(offsets), func(i, j int) { offsets[i], offsets[j] = offsets[j], offsets[i] })
				offsets = offsets[:min(len(offsets), 60)]
				patterns = nil
			}
			for _, at := range offsets {
				for _, pattern := range patterns {
					f.flip(t, class, at, pattern)
				}
				if patterns == nil {
					f.flip(t, class, at, byte(1+random.IntN(255)))
				}
			}
			t.Logf("%s, %s: %d bytes, %d flips so far", name, class, len(offsets), f.flips)
		}
		t.Logf("%s: %d flips, wrong in silence: %v, met by no question: %v", name, f.flips, f.silent, f.unasked)
		s.forgive() // who reads by himself may have met the last flips late
		if wrong, met, err := f.q.wrong(s); len(wrong) > 0 || met > 0 || err != nil {
			t.Errorf("%s, put right again: %v, %d, %v", name, wrong, met, err)
		}
	}
}
