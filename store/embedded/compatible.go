//go:build (linux || darwin || freebsd) && !stoa_noembedded

package embedded

import (
	"bufio"
	"fmt"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// This file makes FerretDB do two things as MongoDB does them: lookUp spares conditional
// writes the scan, duplicateKey names an error rightly.

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
