package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/lineproto"
	"github.com/flotilla-db/flotilla/storage"
)

// loader carries points from a reader to a cluster, one batch in flight: lines that name the same point take effect
// in the order of the file.
type loader struct {
	to     pointWriter
	limit  int
	tick   func(*writeReport)
	report writeReport

	points []storage.Point
	lines  []int64 // line of each point
	bytes  int
}

// run reads to the end. A refused line is noted and passed by; an error of the input or of the cluster ends it, and
// the report says what was and was not sent.
func (l *loader) run(ctx context.Context, in lineproto.Reader) error {
	l.report.Lines = []refusedLine{}
	for {
		record, err := in.Read()
		refused, isLine := errors.AsType[*lineproto.LineError](err)
		switch {
		case err == nil:
			l.points, l.lines = append(l.points, record.Point), append(l.lines, record.Line)
			l.bytes += sizeOf(&record.Point)
		case isLine:
			l.report.refuse(refused.Line, refused.Err.Error())
			continue
		case errors.Is(err, io.EOF):
			return l.flush(ctx)
		case errors.Is(err, lineproto.ErrOptions):
			return wrongOptions(err)
		default:
			return errors.Join(l.flush(ctx), fmt.Errorf("read input: %w", err))
		}
		if len(l.points) >= l.limit || l.bytes >= maxBatchBytes {
			if err := l.flush(ctx); err != nil {
				return err
			}
		}
	}
}

// flush sends what is collected. Points that the node refuses are taken out, and the rest is sent again: a node
// refuses such a batch whole.
func (l *loader) flush(ctx context.Context) error {
	for len(l.points) > 0 {
		written, err := l.to.Write(ctx, l.points)
		if err == nil {
			l.report.Written += int64(written)
			break
		}
		problem, ok := errors.AsType[*api.Error](err)
		if ok && problem.Code == api.InvalidPoints && len(problem.Points) > 0 {
			l.drop(problem.Points)
			continue
		}
		if !ok || problem.Code.Unknown() {
			l.report.Unknown += int64(len(l.points))
		}
		first := l.lines[0]
		if !ok || problem.Code.Unknown() {
			first = l.lines[len(l.lines)-1] + 1
		}
		l.report.Unsent = &first
		return fmt.Errorf("lines %d to %d: %w", l.lines[0], l.lines[len(l.lines)-1], err)
	}
	l.points, l.lines, l.bytes = l.points[:0], l.lines[:0], 0
	l.tick(&l.report)
	return nil
}

func (l *loader) drop(refused []api.PointError) {
	reasons := map[int]string{}
	for _, p := range refused {
		reasons[p.Index] = p.Reason
	}
	points, lines := l.points[:0], l.lines[:0]
	for i := range l.points {
		if reason, bad := reasons[i]; bad {
			l.report.refuse(l.lines[i], reason)
			continue
		}
		points, lines = append(points, l.points[i]), append(lines, l.lines[i])
	}
	if len(points) == len(l.points) { // a refusal that names no point of ours would be repeated for ever
		for _, line := range lines {
			l.report.refuse(line, "the batch was refused without naming a point of it")
		}
		points, lines = points[:0], lines[:0]
	}
	l.points, l.lines = points, lines
}

// sizeOf estimates what a point takes in a request.
func sizeOf(p *storage.Point) int {
	n := 16 + len(p.Database) + len(p.Collection) + len(p.Device)
	for i := range p.Fields {
		n += 16 + len(p.Fields[i].Name) + len(p.Fields[i].Value.Str)
	}
	return n
}
