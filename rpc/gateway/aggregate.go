package gateway

import (
	"math"
	"slices"
	"strings"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/pb"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/blocks"
)

// aggregateRows is how many buckets travel together.
const aggregateRows = 1024

// aggregator reduces the rows of one series after the other to buckets, as
// they stream by. Chunks come in the query's order, rows ascend within one.
// A bucket's time is its begin, aligned to 1970; with one bucket over the
// range it is the range's begin, or that of the first point.
//
// mean is a float64 and so is count; min, max, first and last keep the type
// of the value; sum keeps the type where all values have it and it does not
// overflow, and is a float64 otherwise.
type aggregator struct {
	q     *Query
	yield func(storage.Series, *blocks.Columns) error

	series storage.Series
	open   bool  // a bucket is open
	bucket int64 // its begin
	rows   int   // buckets of the series that were closed
	cells  []cell
	out    blocks.Builder
	fields []blocks.Field
}

// cell is one field of the open bucket.
type cell struct {
	name                string
	count               int64
	kind                blocks.Kind // of all values so far, 0 when they differ
	float               float64     // sum
	signed              int64       // sum, where kind is Int64
	unsigned            uint64      // sum, where kind is Uint64
	overflow            bool        // of the sum in integers
	low, high           blocks.Value
	first, last         blocks.Value
	firstTime, lastTime int64
}

// add takes a chunk of a series.
func (a *aggregator) add(s storage.Series, c *blocks.Columns) error {
	if s != a.series {
		if err := a.finish(); err != nil {
			return err
		}
		a.series = s
	}
	for i := range c.Len() {
		row := i
		if a.q.Descending {
			row = c.Len() - 1 - i
		}
		if a.q.Limit > 0 && a.rows >= a.q.Limit {
			return nil // the series has all that was asked for
		}
		if err := a.addRow(c, row); err != nil {
			return err
		}
	}
	return nil
}

func (a *aggregator) addRow(c *blocks.Columns, row int) error {
	at := c.Times[row]
	if begin := a.begin(at); !a.open || begin != a.bucket && a.q.Every > 0 {
		if err := a.closeBucket(); err != nil {
			return err
		}
		if a.q.Limit > 0 && a.rows >= a.q.Limit {
			return nil
		}
		a.open, a.bucket = true, begin
	} else if a.q.Every == 0 {
		a.bucket = min(a.bucket, begin)
	}
	for i := range c.Cols {
		if v, ok := c.Cols[i].Value(row); ok {
			if err := a.cell(c.Cols[i].Name).add(v, at, a.q.Aggregation); err != nil {
				return err
			}
		}
	}
	return nil
}

// begin is the begin of the bucket that a time lies in.
func (a *aggregator) begin(at int64) int64 {
	every := int64(a.q.Every)
	if every == 0 {
		if a.q.From != storage.MinTime {
			return a.q.From
		}
		return at
	}
	n := storage.WindowOf(at, every)
	if n < math.MinInt64/every {
		return storage.MinTime
	}
	return n * every
}

func (a *aggregator) cell(name string) *cell {
	for i := range a.cells {
		if a.cells[i].name == name {
			return &a.cells[i]
		}
	}
	a.cells = append(a.cells, cell{name: name})
	return &a.cells[len(a.cells)-1]
}

func (c *cell) add(v blocks.Value, at int64, how pb.Aggregation) error {
	f, number := v.AsFloat()
	if !number && how != pb.Aggregation_COUNT && how != pb.Aggregation_FIRST && how != pb.Aggregation_LAST {
		return api.E(api.NotNumeric, "name the fields to aggregate, or use count, first or last",
			"field %q has a %s value: %s needs numbers", c.name, v.Kind, strings.ToLower(how.String()))
	}
	if c.count == 0 {
		c.kind, c.low, c.high, c.first, c.last, c.firstTime, c.lastTime = v.Kind, v, v, v, v, at, at
	} else if c.kind != v.Kind {
		c.kind = 0
	}
	c.count++
	if at < c.firstTime {
		c.first, c.firstTime = v, at
	}
	if at > c.lastTime {
		c.last, c.lastTime = v, at
	}
	if !number {
		return nil
	}
	c.float += f
	c.addInteger(v)
	if less(v, c.low) {
		c.low = v
	}
	if less(c.high, v) {
		c.high = v
	}
	return nil
}

func (c *cell) addInteger(v blocks.Value) {
	switch v.Kind {
	case blocks.Int64:
		sum := c.signed + v.Int64()
		c.overflow = c.overflow || (v.Int64() > 0) != (sum > c.signed) && v.Int64() != 0
		c.signed = sum
	case blocks.Uint64:
		sum := c.unsigned + v.Uint64()
		c.overflow = c.overflow || sum < c.unsigned
		c.unsigned = sum
	}
}

// less compares two numbers, exactly where they are of one kind.
func less(a, b blocks.Value) bool {
	switch {
	case a.Kind == blocks.Int64 && b.Kind == blocks.Int64:
		return a.Int64() < b.Int64()
	case a.Kind == blocks.Uint64 && b.Kind == blocks.Uint64:
		return a.Uint64() < b.Uint64()
	}
	x, _ := a.AsFloat()
	y, _ := b.AsFloat()
	return x < y
}

func (c *cell) result(how pb.Aggregation) blocks.Value {
	switch how {
	case pb.Aggregation_MEAN:
		return blocks.Float(c.float / float64(c.count))
	case pb.Aggregation_COUNT:
		return blocks.Float(float64(c.count))
	case pb.Aggregation_MIN:
		return c.low
	case pb.Aggregation_MAX:
		return c.high
	case pb.Aggregation_FIRST:
		return c.first
	case pb.Aggregation_LAST:
		return c.last
	}
	switch {
	case c.kind == blocks.Int64 && !c.overflow:
		return blocks.Int(c.signed)
	case c.kind == blocks.Uint64 && !c.overflow:
		return blocks.Uint(c.unsigned)
	}
	return blocks.Float(c.float)
}

// closeBucket adds the open bucket to the output.
func (a *aggregator) closeBucket() error {
	if !a.open {
		return nil
	}
	a.open = false
	slices.SortFunc(a.cells, func(x, y cell) int { return strings.Compare(x.name, y.name) })
	a.fields = a.fields[:0]
	for i := range a.cells {
		v := a.cells[i].result(a.q.Aggregation)
		if v.Kind == blocks.Float64 && (math.IsInf(v.Float64(), 0) || math.IsNaN(v.Float64())) {
			return api.E(api.NotNumeric, "use shorter intervals", "the %s of field %q is beyond a float64",
				strings.ToLower(a.q.Aggregation.String()), a.cells[i].name)
		}
		a.fields = append(a.fields, blocks.Field{Name: a.cells[i].name, Value: v})
	}
	a.cells = a.cells[:0]
	a.out.Append(a.bucket, a.fields)
	a.rows++
	if a.out.Len() >= aggregateRows {
		return a.emit()
	}
	return nil
}

func (a *aggregator) emit() error {
	if a.out.Len() == 0 {
		return nil
	}
	err := a.yield(a.series, a.out.Columns())
	a.out.Reset()
	return err
}

// finish closes the series that is open. Call it after the last chunk too.
func (a *aggregator) finish() error {
	if err := a.closeBucket(); err != nil {
		return err
	}
	a.rows = 0
	return a.emit()
}
