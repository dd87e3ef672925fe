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

// createCollection checks the name. A collection has no state of its own: it
// is listed from its first point on.
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
	if err := storage.ValidateCollection(b.Name); err != nil {
		return badName(err)
	}
	exists, err := h.hasCollection(r, b.Name)
	return answer(w, madeStatus(!exists), api.Collection{Name: b.Name}, err)
}

func (h *Handler) hasCollection(r *http.Request, name string) (bool, error) {
	list, err := h.g.ListCollections(r.Context(), r.PathValue("db"))
	return slices.ContainsFunc(list, func(c api.Collection) bool { return c.Name == name }), err
}

func (h *Handler) getCollection(w http.ResponseWriter, r *http.Request) error {
	if _, err := params(r); err != nil {
		return err
	}
	name := r.PathValue("collection")
	exists, err := h.hasCollection(r, name)
	if err == nil && !exists {
		err = api.E(api.CollectionNotFound, "a collection is there from its first point on", "database %q has no collection %q", r.PathValue("db"), name)
	}
	return answer(w, http.StatusOK, api.Collection{Name: name}, err)
}

// dropCollection deletes all points of a collection.
func (h *Handler) dropCollection(w http.ResponseWriter, r *http.Request) error {
	if _, err := params(r); err != nil {
		return err
	}
	database, collection, err := series(r)
	if err != nil {
		return err
	}
	groups, err := h.g.Delete(r.Context(), gateway.Delete{Database: database, Collection: collection, From: storage.MinTime, To: storage.NoEnd})
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
	if len(values) == 0 {
		return api.E(api.ConfirmationNeeded, "give ids, start_time or end_time; DELETE on the collection itself drops all of it", "a delete without a selector")
	}
	d := gateway.Delete{Database: database, Collection: collection}
	if d.Devices, err = list(values, "ids"); err != nil {
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
