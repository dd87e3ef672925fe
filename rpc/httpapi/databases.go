package httpapi

import (
	"net/http"
	"slices"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/gateway"
	"github.com/flotilla-db/flotilla/storage"
)

type databaseBody struct {
	Name      string `json:"name"`
	Retention string `json:"retention"`
}

func (h *Handler) listDatabases(w http.ResponseWriter, r *http.Request) error {
	values, err := params(r, "limit", "page_token")
	if err != nil {
		return err
	}
	list, err := h.g.ListDatabases(r.Context())
	if err != nil {
		return err
	}
	limit, token, err := page(values)
	if err != nil {
		return err
	}
	list, next, err := gateway.Page(list, limit, token, func(d api.Database) string { return d.Name })
	return answer(w, http.StatusOK, api.DatabaseList{Databases: list, NextPageToken: next}, err)
}

func (h *Handler) createDatabase(w http.ResponseWriter, r *http.Request) error {
	if _, err := params(r); err != nil {
		return err
	}
	var b databaseBody
	if err := object(w, r, &b, "name", "retention"); err != nil {
		return err
	}
	db, made, err := h.g.CreateDatabase(r.Context(), b.Name, b.Retention)
	return answer(w, madeStatus(made), db, err)
}

// madeStatus is 201, or 200 for what existed alike.
func madeStatus(made bool) int {
	if made {
		return http.StatusCreated
	}
	return http.StatusOK
}

func (h *Handler) getDatabase(w http.ResponseWriter, r *http.Request) error {
	if _, err := params(r); err != nil {
		return err
	}
	db, err := h.g.GetDatabase(r.Context(), r.PathValue("db"))
	return answer(w, http.StatusOK, db, err)
}

func (h *Handler) setDatabase(w http.ResponseWriter, r *http.Request) error {
	if _, err := params(r); err != nil {
		return err
	}
	var b struct {
		Retention *string `json:"retention"`
	}
	if err := object(w, r, &b, "retention"); err != nil {
		return err
	}
	if b.Retention == nil {
		return api.E(api.InvalidArgument, `{"retention":"90d"}, "" for ever`, "nothing to set")
	}
	db, err := h.g.SetDatabase(r.Context(), r.PathValue("db"), *b.Retention)
	return answer(w, http.StatusOK, db, err)
}

func (h *Handler) dropDatabase(w http.ResponseWriter, r *http.Request) error {
	if _, err := params(r); err != nil {
		return err
	}
	name := r.PathValue("db")
	db, err := h.g.GetDatabase(r.Context(), name)
	if err == nil {
		err = h.g.DropDatabase(r.Context(), name)
	}
	return answer(w, http.StatusOK, db, err)
}

func (h *Handler) listCollections(w http.ResponseWriter, r *http.Request) error {
	values, err := params(r, "limit", "page_token")
	if err != nil {
		return err
	}
	list, err := h.g.ListCollections(r.Context(), r.PathValue("db"))
	if err != nil {
		return err
	}
	limit, token, err := page(values)
	if err != nil {
		return err
	}
	list, next, err := gateway.Page(list, limit, token, func(c api.Collection) string { return c.Name })
	return answer(w, http.StatusOK, api.CollectionList{Collections: list, NextPageToken: next}, err)
}

// createCollection makes a collection by name, so that it is listed before its
// first point.
func (h *Handler) createCollection(w http.ResponseWriter, r *http.Request) error {
	if _, err := params(r); err != nil {
		return err
	}
	var b struct {
		Name string `json:"name"`
	}
	if err := object(w, r, &b, "name"); err != nil {
		return err
	}
	c, made, err := h.g.CreateCollection(r.Context(), r.PathValue("db"), b.Name)
	return answer(w, madeStatus(made), c, err)
}

func (h *Handler) getCollection(w http.ResponseWriter, r *http.Request) error {
	if _, err := params(r); err != nil {
		return err
	}
	database, collection, err := series(r)
	if err != nil {
		return err
	}
	c, err := h.g.GetCollection(r.Context(), database, collection)
	return answer(w, http.StatusOK, c, err)
}

// dropCollection deletes all points of a collection, and its name.
func (h *Handler) dropCollection(w http.ResponseWriter, r *http.Request) error {
	if _, err := params(r); err != nil {
		return err
	}
	database, collection, err := series(r)
	if err != nil {
		return err
	}
	groups, err := h.g.DropCollection(r.Context(), database, collection)
	return answer(w, http.StatusOK, api.DeleteReply{Groups: groups}, err)
}

// deletePoints deletes what ids and times select. Without a selector it is
// refused: the whole collection is dropped by DELETE on the collection.
func (h *Handler) deletePoints(w http.ResponseWriter, r *http.Request) error {
	database, collection, err := series(r)
	if err != nil {
		return err
	}
	values, err := params(r, "ids", "start_time", "end_time")
	if err != nil {
		return err
	}
	// An empty variable of a script must not select everything.
	for name, given := range values {
		if slices.Contains(given, "") {
			return api.E(api.InvalidArgument, "give it a value or leave it out", "parameter %q is empty", name)
		}
	}
	if len(values) == 0 {
		return api.E(api.ConfirmationNeeded, "give ids, start_time or end_time; DELETE on the collection itself drops all of it", "a delete without a selector")
	}
	d := gateway.Delete{Database: database, Collection: collection}
	if d.Devices, err = devices(values); err != nil {
		return err
	}
	if d.From, err = timeOf(values, "start_time", storage.MinTime); err != nil {
		return err
	}
	if d.To, err = timeOf(values, "end_time", storage.NoEnd); err != nil {
		return err
	}
	groups, err := h.g.Delete(r.Context(), d)
	return answer(w, http.StatusOK, api.DeleteReply{Groups: groups}, err)
}
