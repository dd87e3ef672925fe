package httpapi

import (
	"errors"
	"net/http"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/lineproto"
	"github.com/flotilla-db/flotilla/storage"
)

// series reads and checks database and collection of the path.
func series(r *http.Request) (database, collection string, err error) {
	database, collection = r.PathValue("db"), r.PathValue("collection")
	if err = storage.ValidateDatabase(database); err == nil {
		err = storage.ValidateCollection(collection)
	}
	if err != nil {
		return "", "", badName(err)
	}
	return database, collection, nil
}

func badName(err error) error {
	if e, ok := errors.AsType[*storage.InvalidError](err); ok {
		return api.E(api.InvalidArgument, e.Hint, "%s %q %s", e.What, e.Value, e.Reason)
	}
	return api.E(api.InvalidArgument, "", "%v", err)
}

// write takes one point.
func (h *Handler) write(w http.ResponseWriter, r *http.Request) error {
	return h.writePoints(w, r, func(body []byte, database, collection string) ([]storage.Point, error) {
		p, err := lineproto.ParsePoint(body, database, collection)
		if err != nil {
			e := api.E(api.InvalidPoints, "several points go to .../write/batch", "the point cannot be read: %v", err)
			e.Points = []api.PointError{{Reason: err.Error(), ID: p.Device}}
			return nil, e
		}
		return []storage.Point{p}, nil
	})
}

// writeBatch takes {"points":[...]}.
func (h *Handler) writeBatch(w http.ResponseWriter, r *http.Request) error {
	limit := h.g.Limits().BatchPoints
	return h.writePoints(w, r, func(body []byte, database, collection string) ([]storage.Point, error) {
		points, err := lineproto.ParsePoints(body, database, collection, limit)
		if err == nil {
			return points, nil
		}
		if lineproto.IsTooMany(err) {
			return nil, api.E(api.TooLarge, "send several batches", "the batch has %v", err)
		}
		e := api.E(api.InvalidPoints, `the body is {"points":[{"id":...,"time":...,"<field>":...}]}`, "the batch cannot be read: %v", err)
		if bad, ok := errors.AsType[*lineproto.PointsError](err); ok {
			e.Points = bad.Points
		}
		return nil, e
	})
}

func (h *Handler) writePoints(w http.ResponseWriter, r *http.Request, parse func([]byte, string, string) ([]storage.Point, error)) error {
	if _, err := params(r); err != nil {
		return err
	}
	database, collection, err := series(r)
	if err != nil {
		return err
	}
	body, err := readBody(w, r, int64(h.g.Limits().BatchBytes))
	if err != nil {
		return err
	}
	points, err := parse(body, database, collection)
	if err != nil {
		return err
	}
	written, err := h.g.Write(r.Context(), points, 0)
	if err != nil {
		e := api.AsError(err)
		e.Stamped = written.Stamped()
		return e
	}
	return reply(w, http.StatusOK, api.WriteReply{Written: written.Points, Stamped: written.Stamped()})
}
