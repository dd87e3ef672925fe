package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/flotilla-db/flotilla/cmd/internal/apiclient"
	"github.com/flotilla-db/flotilla/rpc/api"
)

func deleteVerb(s streams) *cli.Command {
	return &cli.Command{
		Name:  "delete",
		Usage: "delete points, exactly and on every replica",
		Flags: clientFlags(
			&cli.StringFlag{Name: "db", Usage: "database"},
			&cli.StringFlag{Name: "collection", Usage: "only this collection"},
			&cli.StringSliceFlag{Name: "device", Usage: "only this device, repeatable"},
			&cli.StringFlag{Name: "from", Usage: "only points from here on, inclusive: " + timeUsage},
			&cli.StringFlag{Name: "to", Usage: "only points before this"},
			&cli.BoolFlag{Name: "yes", Usage: "do not ask"},
		),
		Action: func(c *cli.Context) error { return deletePoints(c, s) },
		Description: `flotilla delete --db weather --collection daily --device Seattle --to 2013-01-01 --yes
flotilla delete --db metrics --collection cpu --yes`,
	}
}

func deletePoints(c *cli.Context, s streams) error {
	if err := errors.Join(arity(c, 0, 0), need(c, "db")); err != nil {
		return firstOf(err)
	}
	if err := refuseEmpty(c, "collection", "from", "to"); err != nil {
		return err
	}
	if err := refuseEmptyDevices(c); err != nil {
		return err
	}
	if len(c.StringSlice("device")) > 0 && c.String("collection") == "" {
		return usagef("--device needs --collection")
	}
	from, hasFrom, err := timeFlag(c, "from")
	if err != nil {
		return err
	}
	to, hasTo, err := timeFlag(c, "to")
	if err != nil {
		return err
	}
	if hasFrom && hasTo && from >= to {
		return usagef("--from is not before --to")
	}
	session, err := open(c)
	if err != nil {
		return err
	}
	if err := askYes(c, s, "delete "+deletionText(c)); err != nil {
		return err
	}
	if c.String("collection") == "" {
		return session.deleteInDatabase(c.Context, c.String("db"), optional(from, hasFrom), optional(to, hasTo))
	}
	return session.deleteInCollection(c, optional(from, hasFrom), optional(to, hasTo))
}

func (s *session) deleteInCollection(c *cli.Context, from, to *int64) error {
	query := url.Values{}
	if devices := c.StringSlice("device"); len(devices) > 0 {
		ids, err := json.Marshal(devices)
		if err != nil {
			return err
		}
		query.Set("ids", string(ids))
	}
	for name, ns := range map[string]*int64{"start_time": from, "end_time": to} {
		if ns != nil {
			query.Set(name, strconv.FormatInt(*ns, 10))
		}
	}
	path := "/v1/databases/" + segment(c.String("db")) + "/collections/" + segment(c.String("collection"))
	if len(query) > 0 { // without a selector it is the collection itself that goes
		path += "/delete"
	}
	body, err := s.api.Do(c.Context, apiclient.Request{Method: http.MethodDelete, Query: query, Path: path})
	if err != nil {
		return err
	}
	return s.print.print(body, func() (*table, error) {
		return decodeTable(body, func(r api.DeleteReply) *table {
			return &table{verdict: "deleted in " + counted(r.Groups, "group")}
		})
	})
}

// deleteInDatabase goes by gRPC: HTTP names a collection in every path of points.
func (s *session) deleteInDatabase(ctx context.Context, database string, from, to *int64) error {
	sdk, err := s.sdk(ctx)
	if err != nil {
		return err
	}
	defer sdk.Close()
	if err := sdk.Delete(ctx, database, "", nil, from, to); err != nil {
		return maybeDone(err)
	}
	return s.print.print([]byte("{}"), func() (*table, error) {
		return &table{verdict: "deleted"}, nil
	})
}

// maybeDone is the error of a change by gRPC: of one that may be carried out, who interrupts it is told that.
func maybeDone(err error) error {
	if e, ok := errors.AsType[*api.Error](err); ok && e.Code.Unknown() {
		return stillTrue{apiclient.ErrSent.Error(), err}
	}
	return err
}

// refuseEmpty: the empty variable of a script must not delete more than its author meant.
func refuseEmpty(c *cli.Context, names ...string) error {
	for _, name := range names {
		if c.IsSet(name) && c.String(name) == "" {
			return usagef("--%s is empty: give it a value or leave it out", name)
		}
	}
	return nil
}

// refuseEmptyDevices is refuseEmpty for the repeatable --device.
func refuseEmptyDevices(c *cli.Context) error {
	if c.IsSet("device") && slices.Contains(c.StringSlice("device"), "") {
		return usagef("--device is empty: give it a value or leave it out")
	}
	return nil
}

// deletionText says what is to go, for the question.
func deletionText(c *cli.Context) string {
	what := "everything"
	if c.String("from") != "" || c.String("to") != "" {
		what = fmt.Sprintf("points from %s to %s", textCell(c.String("from")), textCell(c.String("to")))
	}
	if devices := c.StringSlice("device"); len(devices) > 0 {
		what += " of device " + strings.Join(devices, " and ")
	}
	if collection := c.String("collection"); collection != "" {
		what += " in collection " + collection
	}
	return what + " of database " + c.String("db")
}

func optional(n int64, given bool) *int64 {
	if !given {
		return nil
	}
	return &n
}
