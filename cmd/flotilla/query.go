package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/flotilla-db/flotilla/cmd/internal/apiclient"
)

func queryVerb(streams) *cli.Command {
	return &cli.Command{
		Name:  "query",
		Usage: "read points",
		Flags: clientFlags(
			&cli.StringFlag{Name: "db", Usage: "database"},
			&cli.StringFlag{Name: "collection", Usage: "collection"},
			&cli.StringSliceFlag{Name: "device", Usage: "only this device, repeatable"},
			&cli.StringFlag{Name: "from", Usage: "inclusive: " + timeUsage},
			&cli.StringFlag{Name: "to", Usage: "exclusive"},
			&cli.StringFlag{Name: "fields", Usage: "only these fields, comma-separated"},
			&cli.IntFlag{Name: "limit", Usage: "points of each device", DefaultText: "all"},
			&cli.StringFlag{Name: "order", Value: "asc", Usage: "asc or desc"},
			&cli.StringFlag{Name: "consistency", Value: "linearizable", Usage: "linearizable, leader or stale"},
			&cli.StringFlag{Name: "max-staleness", Usage: "stale: oldest contact with a leader that is good enough", DefaultText: "any"},
			&cli.StringFlag{Name: "every", Usage: "aggregate over steps of this length"},
			&cli.StringFlag{Name: "agg", Usage: "mean, min, max, sum, count, first or last"},
		),
		Action: query,
		Description: `flotilla query --db weather --collection daily --device Seattle --from 2015-07-01 --to 2015-07-08
flotilla query --db weather --collection daily --device Seattle --every 30d --agg mean --fields temp_max
flotilla query --db weather --collection daily --device Seattle --order desc --limit 1 -o json
flotilla query --db metrics --collection cpu --from -1h -o csv > cpu.csv`,
	}
}

func query(c *cli.Context) error {
	if err := errors.Join(arity(c, 0, 0), need(c, "db", "collection")); err != nil {
		return firstOf(err)
	}
	if err := refuseEmpty(c, "from", "to", "fields", "order", "consistency", "max-staleness", "every", "agg"); err != nil {
		return err
	}
	if err := refuseEmptyDevices(c); err != nil {
		return err
	}
	parameters, err := queryParameters(c)
	if err != nil {
		return err
	}
	s, err := open(c)
	if err != nil {
		return err
	}
	request := apiclient.Request{Query: parameters, Accept: "application/json",
		Path: "/v1/databases/" + segment(c.String("db")) + "/collections/" + segment(c.String("collection")) + "/query"}
	switch s.print.format {
	case outputCSV:
		request.Accept = "text/csv"
		return s.copyAnswer(c.Context, request)
	case outputJSON:
		return s.copyAnswer(c.Context, request)
	case outputYAML:
		body, err := s.wholeAnswer(c.Context, request)
		if err != nil {
			return err
		}
		return s.print.yaml(body)
	}
	request.Accept = "application/x-ndjson"
	answer, err := s.stream(c.Context, request)
	if err != nil {
		return err
	}
	defer answer.Close()
	return s.print.points(answer)
}

// queryParameters turns flags into the parameters of the HTTP query.
func queryParameters(c *cli.Context) (url.Values, error) {
	v := url.Values{}
	for flag, parameter := range map[string]string{"from": "start_time", "to": "end_time"} {
		ns, given, err := timeFlag(c, flag)
		if err != nil {
			return nil, err
		}
		if given {
			v.Set(parameter, strconv.FormatInt(ns, 10))
		}
	}
	if devices := c.StringSlice("device"); len(devices) > 0 {
		ids, err := json.Marshal(devices)
		if err != nil {
			return nil, err
		}
		v.Set("ids", string(ids))
	}
	for _, choice := range []struct {
		flag, parameter string
		words           []string
	}{
		{"order", "order", orders},
		{"consistency", "consistency", consistencies},
		{"agg", "aggregation", append([]string{""}, aggregations...)},
	} {
		text := c.String(choice.flag)
		if err := oneOf(choice.flag, text, choice.words); err != nil {
			return nil, err
		}
		if text != "" && c.IsSet(choice.flag) {
			v.Set(choice.parameter, text)
		}
	}
	if c.IsSet("limit") {
		if err := within(c, "limit", 1, math.MaxInt32); err != nil {
			return nil, err
		}
		v.Set("limit", strconv.Itoa(c.Int("limit")))
	}
	if fields := c.String("fields"); fields != "" {
		v.Set("fields", fields)
	}
	return v, durationsOfQuery(c, v)
}

func durationsOfQuery(c *cli.Context, v url.Values) error {
	every, err := positiveFlag(c, "every")
	if err != nil {
		return err
	}
	staleness, err := positiveFlag(c, "max-staleness")
	if err != nil {
		return err
	}
	if every > 0 {
		if c.String("agg") == "" {
			return usagef("--every needs --agg")
		}
		v.Set("interval", every.String())
	}
	if staleness > 0 {
		if c.String("consistency") != "stale" {
			return usagef("--max-staleness is for --consistency stale")
		}
		v.Set("max_staleness", staleness.String())
	}
	return nil
}

// The words of the flags of a query.
var (
	orders        = []string{"asc", "desc"}
	consistencies = []string{"linearizable", "leader", "stale"}
	aggregations  = []string{"mean", "min", "max", "sum", "count", "first", "last"}
)

func oneOf(flag, value string, words []string) error {
	for _, w := range words {
		if value == w {
			return nil
		}
	}
	return usagef("--%s %q is not one of %s", flag, value, strings.TrimPrefix(strings.Join(words, ", "), ", "))
}

// stream asks, and bounds only the wait for the answer's begin by --timeout: a long result may take longer.
func (s *session) stream(ctx context.Context, r apiclient.Request) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(s.timeout, func() { cancel(context.DeadlineExceeded) })
	answer, err := s.api.Stream(ctx, r)
	timer.Stop()
	if err != nil {
		defer cancel(nil)
		if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
			return nil, &apiclient.UnreachableError{Addresses: s.api.Addresses(), Err: fmt.Errorf("no answer within %s", s.timeout)}
		}
		return nil, err
	}
	return cancelOnClose{answer, cancel}, nil
}

type cancelOnClose struct {
	io.ReadCloser
	cancel context.CancelCauseFunc
}

func (c cancelOnClose) Close() error {
	defer c.cancel(nil)
	return c.ReadCloser.Close()
}

// copyAnswer hands an answer of any length on as it comes.
func (s *session) copyAnswer(ctx context.Context, r apiclient.Request) error {
	answer, err := s.stream(ctx, r)
	if err != nil {
		return err
	}
	defer answer.Close()
	end := &lastByte{w: s.print.w}
	if _, err := io.Copy(end, answer); end.err != nil {
		return end.err
	} else if err != nil {
		return fmt.Errorf("the answer broke off: %w", err)
	}
	if end.b != '\n' && end.b != 0 {
		_, err = s.print.w.Write([]byte{'\n'})
	}
	return err
}

// wholeAnswer reads an answer that is printed as one document.
func (s *session) wholeAnswer(ctx context.Context, r apiclient.Request) ([]byte, error) {
	answer, err := s.stream(ctx, r)
	if err != nil {
		return nil, err
	}
	defer answer.Close()
	body, err := io.ReadAll(io.LimitReader(answer, apiclient.MaxBodyBytes+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("the answer broke off: %w", err)
	case len(body) > apiclient.MaxBodyBytes:
		return nil, fmt.Errorf("the answer is over %d MiB: use -o csv or -o json, or narrow it", apiclient.MaxBodyBytes>>20)
	}
	return body, nil
}

type lastByte struct {
	w   io.Writer
	b   byte
	err error // of w: the answer is not to blame
}

func (l *lastByte) Write(b []byte) (int, error) {
	if len(b) > 0 {
		l.b = b[len(b)-1]
	}
	n, err := l.w.Write(b)
	l.err = err
	return n, err
}
