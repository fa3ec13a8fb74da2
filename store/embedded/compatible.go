//go:build (linux || darwin || freebsd) && !stoa_noembedded

package embedded

import (
	"bufio"
	"fmt"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// This file makes FerretDB do three things as MongoDB does them: lookUp spares conditional
// writes the scan, gather does so for reads of several documents by their ids, duplicateKey
// names an error rightly.

// lookUp turns a conditional write of one document, {_id: X, …more…}, which FerretDB would
// scan the collection for, into one that it looks up. It asks FerretDB, by a pipeline whose
// first stage is looked up, whether the document X meets the condition. Then the filter is
// reduced to {_id: X}, or to one that nothing meets. The caller has the turn to write, so
// nothing changes in between, and FerretDB still makes and answers the write.
//
// It returns message as it is where it isn't such a write, or where FerretDB has anything
// against the question. The error is that of the connection.
func (c *conn) lookUp(req request, message []byte, fromBackend *bufio.Reader) ([]byte, error) {
	w, ok := parseConditional(req, message)
	if !ok {
		return message, nil
	}
	question, err := bson.Marshal(bson.D{
		{Key: "aggregate", Value: req.collection},
		{Key: "pipeline", Value: bson.A{
			bson.D{{Key: "$match", Value: bson.D{{Key: "_id", Value: w.id}}}},
			bson.D{{Key: "$match", Value: w.filter}},
			bson.D{{Key: "$project", Value: bson.D{{Key: "_id", Value: 1}}}},
		}},
		{Key: "cursor", Value: bson.D{}},
		{Key: "$db", Value: req.database},
	})
	if err != nil {
		return message, nil // the message isn't what it seemed: FerretDB will say so
	}
	reply, err := c.exchange(encodeMsg(req.id, 0, 0, question), fromBackend, nil)
	if err != nil {
		return nil, fmt.Errorf("look up by _id: %w", err)
	}
	answer, _, err := msgSections(reply[headerSize:])
	if err != nil {
		return message, nil
	}
	found, err := answer.LookupErr("cursor", "firstBatch")
	if err != nil {
		return message, nil // an error
	}
	batch, ok := found.ArrayOK()
	if !ok {
		return message, nil
	}
	documents, err := batch.Values()
	if err != nil {
		return message, nil
	}
	filter := bson.D{{Key: "_id", Value: bson.NewObjectID()}} // nobody's
	if len(documents) > 0 {
		filter = bson.D{{Key: "_id", Value: w.id}}
	}
	narrowed, err := w.withFilter(filter)
	if err != nil {
		return message, nil
	}
	return narrowed, nil
}

// conditional is a write command with one filter, which has one _id and more.
type conditional struct {
	request   request
	body      bson.Raw
	sequence  string   // "updates" or "deletes": where statement stands; "" for findAndModify
	statement bson.Raw // the document that has the filter
	key       string   // the filter's, in statement
	filter    bson.Raw
	id        bson.RawValue
}

func parseConditional(req request, message []byte) (conditional, bool) {
	if operation(message) != opMsg {
		return conditional{}, false
	}
	body, sequences, err := msgSections(message[headerSize:])
	if err != nil {
		return conditional{}, false
	}
	w := conditional{request: req, body: body}
	switch req.command {
	case "update", "delete":
		w.sequence, w.key = req.command+"s", "q"
		if len(sequences) != 1 || sequences[0].name != w.sequence {
			return conditional{}, false
		}
		statement, rest, err := sized(sequences[0].documents)
		if err != nil || len(rest) > 0 {
			return conditional{}, false
		}
		w.statement = statement
	case "findAndModify", "findandmodify":
		w.statement, w.key = body, "query"
		if len(sequences) != 0 {
			return conditional{}, false
		}
	default:
		return conditional{}, false
	}

	// What an upsert inserts is made of the whole filter.
	if upsert, err := w.statement.LookupErr("upsert"); err == nil {
		if b, ok := upsert.BooleanOK(); !ok || b {
			return conditional{}, false
		}
	}
	filter, err := w.statement.LookupErr(w.key)
	if err != nil {
		return conditional{}, false
	}
	var ok bool
	if w.filter, ok = filter.DocumentOK(); !ok {
		return conditional{}, false
	}
	elements, err := w.filter.Elements()
	if err != nil || len(elements) < 2 {
		return conditional{}, false
	}
	ids := 0
	for _, e := range elements {
		if e.Key() == "_id" {
			ids++
			w.id = e.Value()
		}
	}
	// FerretDB looks up only these two types.
	return w, ids == 1 && (w.id.Type == bson.TypeString || w.id.Type == bson.TypeObjectID)
}

// withFilter returns the command's message with another filter.
func (w conditional) withFilter(filter bson.D) ([]byte, error) {
	elements, err := w.statement.Elements()
	if err != nil {
		return nil, err
	}
	changed := make(bson.D, 0, len(elements))
	for _, e := range elements {
		if e.Key() == w.key {
			changed = append(changed, bson.E{Key: w.key, Value: filter})
		} else {
			changed = append(changed, bson.E{Key: e.Key(), Value: e.Value()})
		}
	}
	statement, err := bson.Marshal(changed)
	if err != nil {
		return nil, err
	}
	if w.sequence == "" {
		return encodeMsg(w.request.id, 0, 0, statement), nil
	}
	return encodeMsg(w.request.id, 0, 0, w.body, sequence{w.sequence, statement}), nil
}

// duplicateKey returns reply, or where that says that an update or a new index would have
// broken uniqueness, one that says so with MongoDB's number. FerretDB does for inserts alone.
func duplicateKey(req request, reply []byte) ([]byte, error) {
	switch req.command {
	case "update", "findAndModify", "findandmodify", "createIndexes":
	default:
		return reply, nil
	}
	if operation(reply) != opMsg {
		return reply, nil
	}
	body, _, err := msgSections(reply[headerSize:])
	if err != nil {
		return nil, fmt.Errorf("read reply: %w", err)
	}
	const internal = 1 // the number of errors that FerretDB has no number for
	if code, ok := body.Lookup("code").AsInt64OK(); !ok || code != internal {
		return reply, nil
	}
	text, ok := body.Lookup("errmsg").StringValueOK()
	if !ok {
		return reply, nil
	}
	_, index, ok := strings.Cut(text, "UNIQUE constraint failed: index '")
	if !ok {
		return reply, nil
	}
	index, _, _ = strings.Cut(index, "'")
	if at := tableSuffix.FindStringIndex(index); at != nil {
		index = index[at[1]:]
	}
	return errorReply(req, 11000, "DuplicateKey", fmt.Sprintf("E11000 duplicate key error collection: %s.%s index: %s", req.database, req.collection, index))
}

const (
	// gathered is how many ids are looked up one by one: as many as a page has. That takes
	// what scanning 600 documents does; of more ids, or fewer documents, a scan is no slower.
	gathered = 100

	// gatheredBytes bounds what is put together to one reply: a document's largest size, of
	// which a driver takes three in a message.
	gatheredBytes = 16 << 20
)

// gather carries out a read of documents by their ids, {_id: {$in: [X, Y, …]}}, which FerretDB
// would scan the collection for, as one look-up for each. ok is false where req isn't such a
// read, or where FerretDB has anything against a look-up: then nothing has been answered. As a
// scan does, it finds each document as it is at some moment in between; they come in the order
// of the ids. The error is that of the connection.
func (c *conn) gather(req request, message []byte, fromBackend *bufio.Reader) (reply []byte, ok bool, err error) {
	f, ok := parseByIDs(req, message)
	if !ok {
		return nil, false, nil
	}
	found, size := bson.A{}, 0
	for _, i := range f.ids {
		question, err := f.withFilter(bson.D{{Key: "_id", Value: i}})
		if err != nil {
			return nil, false, nil
		}
		answer, err := c.exchange(question, fromBackend, nil)
		if err != nil {
			return nil, false, fmt.Errorf("look up by _id: %w", err)
		}
		body, _, err := msgSections(answer[headerSize:])
		if err != nil {
			return nil, false, nil
		}
		batch, ok := body.Lookup("cursor", "firstBatch").ArrayOK()
		rest, known := body.Lookup("cursor", "id").AsInt64OK()
		if !ok || !known || rest != 0 {
			return nil, false, nil // an error
		}
		documents, err := batch.Values()
		if err != nil {
			return nil, false, nil
		}
		for _, d := range documents {
			if size += len(d.Value); size > gatheredBytes {
				return nil, false, nil
			}
			found = append(found, d)
		}
	}
	body, err := bson.Marshal(bson.D{
		{Key: "cursor", Value: bson.D{{Key: "firstBatch", Value: found}, {Key: "id", Value: int64(0)}, {Key: "ns", Value: req.database + "." + req.collection}}},
		{Key: "ok", Value: 1.0},
	})
	if err != nil {
		return nil, false, nil
	}
	return encodeMsg(0, req.id, 0, body), true, nil
}

// byIDs is a find of documents by their ids alone.
type byIDs struct {
	request request
	body    bson.Raw
	ids     []bson.RawValue
}

func parseByIDs(req request, message []byte) (byIDs, bool) {
	if req.command != "find" || req.unanswered || operation(message) != opMsg {
		return byIDs{}, false
	}
	body, sequences, err := msgSections(message[headerSize:])
	if err != nil || len(sequences) > 0 {
		return byIDs{}, false
	}
	f := byIDs{request: req, body: body}
	elements, err := body.Elements()
	if err != nil {
		return byIDs{}, false
	}
	most := int64(gathered)
	var filter bson.Raw
	for _, e := range elements {
		switch e.Key() {
		case "find", "projection", "maxTimeMS", "comment", "readConcern", "$readPreference", "lsid", "$clusterTime", "$db":
		case "filter":
			if filter, _ = e.Value().DocumentOK(); filter == nil {
				return byIDs{}, false
			}
		case "batchSize":
			size, ok := e.Value().AsInt64OK()
			if !ok {
				return byIDs{}, false
			}
			most = min(most, size)
		default: // sort, limit: what concerns all of them together
			return byIDs{}, false
		}
	}
	conditions, err := filter.Elements()
	if err != nil || len(conditions) != 1 || conditions[0].Key() != "_id" {
		return byIDs{}, false
	}
	operators, ok := conditions[0].Value().DocumentOK()
	if !ok {
		return byIDs{}, false
	}
	if conditions, err = operators.Elements(); err != nil || len(conditions) != 1 || conditions[0].Key() != "$in" {
		return byIDs{}, false
	}
	list, ok := conditions[0].Value().ArrayOK()
	if !ok {
		return byIDs{}, false
	}
	ids, err := list.Values()
	if err != nil || len(ids) == 0 || int64(len(ids)) > most {
		return byIDs{}, false
	}
	for _, i := range ids {
		if i.Type != bson.TypeString && i.Type != bson.TypeObjectID {
			return byIDs{}, false // FerretDB looks up only these two types
		}
		if !slices.ContainsFunc(f.ids, i.Equal) {
			f.ids = append(f.ids, i)
		}
	}
	return f, true
}

// withFilter returns the command's message with another filter.
func (f byIDs) withFilter(filter bson.D) ([]byte, error) {
	elements, err := f.body.Elements()
	if err != nil {
		return nil, err
	}
	changed := make(bson.D, 0, len(elements))
	for _, e := range elements {
		if e.Key() == "filter" {
			changed = append(changed, bson.E{Key: "filter", Value: filter})
		} else {
			changed = append(changed, bson.E{Key: e.Key(), Value: e.Value()})
		}
	}
	body, err := bson.Marshal(changed)
	if err != nil {
		return nil, err
	}
	return encodeMsg(f.request.id, 0, 0, body), nil
}
