//go:build (linux || darwin || freebsd) && !stoa_noembedded

package embedded

// This file runs the commands that read documents. Entry points: Server.find, Server.aggregate,
// Server.distinct, Server.explain.

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
)

// reading is a find or aggregate command, ready to run.
type reading struct {
	namespace namespace
	query     query
	project   *projection
	stages    []stage // the stages of an aggregate after its query
	size      int64
	single    bool // one batch only
}

func readFilter(name string, v bsoncore.Value, into *filter) error {
	var d []byte
	if err := readDocument(name, v, &d); err != nil {
		return err
	}
	var err error
	*into, err = parseFilter(d)
	return err
}

// find is the find command.
func (s *Server) find(ctx context.Context, req *request) ([]byte, error) {
	r, err := req.parseFind()
	if err != nil {
		return nil, err
	}
	return s.answer(ctx, req, r)
}

func (req *request) parseFind() (*reading, error) {
	n, err := req.namespace()
	if err != nil {
		return nil, err
	}
	r := &reading{namespace: n, size: defaultBatch}
	sized := false
	err = req.fields(func(name string, v bsoncore.Value) error {
		switch name {
		case "filter":
			return readFilter(name, v, &r.query.filter)
		case "sort":
			var d []byte
			err := readDocument(name, v, &d)
			if err == nil {
				r.query.order, err = parseSort(d)
			}
			return err
		case "projection":
			var d []byte
			err := readDocument(name, v, &d)
			if err == nil {
				r.project, err = parseProjection(d)
			}
			return err
		case "skip":
			return readCount(name, v, &r.query.skip)
		case "limit":
			if err := readInt(name, v, &r.query.limit); err != nil {
				return err
			}
			if r.query.limit < 0 {
				return fail(codeBadValue, "BSON field 'limit' value must be >= 0, actual value '%d'", r.query.limit)
			}
			return nil
		case "batchSize":
			sized = true
			return readCount(name, v, &r.size)
		case "singleBatch":
			return readBool(name, v, &r.single)
		case "noCursorTimeout", "allowDiskUse", "allowPartialResults":
			return nil
		}
		return req.unknown(name)
	})
	if !sized && r.single {
		r.size = 1 << 62
	}
	return r, err
}

// answer is the first reply to a reading.
func (s *Server) answer(ctx context.Context, req *request, r *reading) (body []byte, err error) {
	err = s.read(ctx, func(session *session) (bool, error) {
		k := &cursor{namespace: r.namespace, owner: req.owner(), session: session, next: r.source(session)}
		var more bool
		if body, more, err = k.batch("firstBatch", r.size, r.single); err != nil || !more {
			return false, err
		}
		if k.waiting == nil && r.query.limit > 0 && len(r.stages) == 0 && r.size >= r.query.limit {
			return false, nil // the batch became full with the last one
		}
		if err := s.cursors.add(k); err != nil {
			return false, err
		}
		setCursor(body, k.id)
		return true, nil
	})
	return body, err
}

// source reads the reading's documents on a session's snapshot.
func (r *reading) source(session *session) source {
	c := session.catalog.collections[r.namespace]
	next := source(func() ([]byte, bool, error) { return nil, false, nil })
	if c != nil {
		st := newStream(session, c, &r.query)
		next = func() ([]byte, bool, error) {
			_, document, ok, err := st.next()
			if document == nil && ok {
				document = emptyDocument
			}
			return document, ok, err
		}
	}
	if r.project != nil {
		next = r.project.stage(session, next)
	}
	for _, stage := range r.stages {
		next = stage(session, next)
	}
	return next
}

// stage is a stage of an aggregate: it makes documents of those of the stage before.
type stage func(session *session, next source) source

func (p *projection) stage(_ *session, next source) source {
	return func() ([]byte, bool, error) {
		document, ok, err := next()
		if err != nil || !ok {
			return nil, false, err
		}
		return p.append(nil, document), true, nil
	}
}

// aggregate is the aggregate command.
func (s *Server) aggregate(ctx context.Context, req *request) ([]byte, error) {
	r, err := req.parseAggregate()
	if err != nil {
		return nil, err
	}
	return s.answer(ctx, req, r)
}

func (req *request) parseAggregate() (*reading, error) {
	n, err := req.namespace()
	if err != nil {
		return nil, err
	}
	var pipeline [][]byte
	size, hasCursor := int64(defaultBatch), false
	err = req.fields(func(name string, v bsoncore.Value) error {
		switch name {
		case "pipeline":
			return readDocuments(name, v, &pipeline)
		case "cursor":
			hasCursor = true
			return readCursor(v, &size)
		case "allowDiskUse":
			return nil
		}
		return req.unknown(name)
	})
	if err != nil {
		return nil, err
	}
	if !hasCursor && !req.explained {
		return nil, fail(codeFailedToParse, "the 'cursor' option is required")
	}
	r, err := parsePipeline(n, pipeline, nil)
	if err != nil {
		return nil, err
	}
	r.size = size
	return r, nil
}

// parsePipeline reads the stages of an aggregate. The leading stages that a query can do, in its
// own order, become the query. within is the $lookup around the stages; nil for none.
func parsePipeline(n namespace, pipeline [][]byte, within *lookup) (*reading, error) {
	r := &reading{namespace: n}
	const (
		filtering = iota
		ordering
		skipping
		limiting
		beyond
	)
	at := filtering
	for _, document := range pipeline {
		if fieldCount(document) != 1 {
			return nil, fail(40323, "a pipeline stage specification object must contain exactly one field")
		}
		element, _, _ := bsoncore.ReadElement(document[4:])
		name, v := element.Key(), element.Value()
		switch name {
		case "$match":
			var f filter
			if within != nil && at == filtering {
				var err error
				if v, err = within.withoutExpression(v); err != nil {
					return nil, err
				}
			}
			if err := readFilter(name, v, &f); err != nil {
				return nil, err
			}
			if at == filtering {
				r.query.filter.tests = append(r.query.filter.tests, f.tests...)
				r.query.filter.anyOf = append(r.query.filter.anyOf, f.anyOf...)
				continue
			}
			at = beyond
			r.stages = append(r.stages, f.stage)
		case "$sort":
			var d []byte
			if err := readDocument(name, v, &d); err != nil {
				return nil, err
			}
			order, err := parseSort(d)
			if err != nil {
				return nil, err
			}
			if at >= ordering {
				at = beyond
				r.stages = append(r.stages, sorting(order))
				continue
			}
			at, r.query.order = ordering, order
		case "$skip", "$limit":
			var count int64
			if err := readCount(name, v, &count); err != nil {
				return nil, err
			}
			if name == "$limit" && count == 0 {
				return nil, fail(15958, "the limit must be positive")
			}
			switch {
			case name == "$skip" && at < skipping:
				at, r.query.skip = skipping, count
			case name == "$limit" && at < limiting:
				at, r.query.limit = limiting, count
			default:
				at = beyond
				r.stages = append(r.stages, cutting(name == "$skip", count))
			}
		case "$project":
			at = beyond
			var d []byte
			if err := readDocument(name, v, &d); err != nil {
				return nil, err
			}
			p, err := parseProjection(d)
			if err != nil {
				return nil, err
			}
			if p == nil {
				return nil, fail(51272, "a $project needs at least one field")
			}
			r.stages = append(r.stages, p.stage)
		case "$group":
			if at < beyond {
				r.query.counted = len(r.stages) == 0
			}
			at = beyond
			group, err := parseGroup(v)
			if err != nil {
				return nil, err
			}
			r.stages = append(r.stages, group)
		case "$lookup":
			if within != nil {
				return nil, fail(codeBadValue, "the embedded database has no $lookup in a $lookup")
			}
			at = beyond
			lookup, err := parseLookup(n.database, v)
			if err != nil {
				return nil, err
			}
			r.stages = append(r.stages, lookup.stage)
		default:
			return nil, fail(codeUnknownStage, "unrecognized pipeline stage name: '%s'. The embedded database has $match, $sort, $skip, $limit, $project, $lookup and a $group that counts.", name)
		}
	}
	return r, nil
}

func (f filter) stage(_ *session, next source) source {
	var scratch []byte
	return func() ([]byte, bool, error) {
		for {
			document, ok, err := next()
			if err != nil || !ok || f.matches(document, &scratch) {
				return document, ok, err
			}
		}
	}
}

// sorting orders the documents in memory.
func sorting(order []sortField) stage {
	return func(session *session, next source) source {
		var rest source
		return func() ([]byte, bool, error) {
			if rest == nil {
				type row struct{ key, document []byte }
				var rows []row
				size := 0
				for {
					document, ok, err := next()
					if err == nil && ok {
						err = session.check()
					}
					if err != nil {
						return nil, false, err
					}
					if !ok {
						break
					}
					key, err := documentSortKey(document, order)
					if err != nil {
						return nil, false, err
					}
					if size += len(key) + len(document); size > maxSortBytes {
						return nil, false, sortMemory()
					}
					rows = append(rows, row{key, document})
				}
				slices.SortStableFunc(rows, func(a, b row) int { return bytes.Compare(a.key, b.key) })
				documents := make([][]byte, len(rows))
				for i, r := range rows {
					documents[i] = r.document
				}
				rest = list(documents)
			}
			return rest()
		}
	}
}

// cutting drops the first n documents, or all after them.
func cutting(skip bool, n int64) stage {
	return func(_ *session, next source) source {
		left := n
		return func() ([]byte, bool, error) {
			for ; skip && left > 0; left-- {
				if _, ok, err := next(); err != nil || !ok {
					return nil, false, err
				}
			}
			if !skip {
				if left == 0 {
					return nil, false, nil
				}
				left--
			}
			return next()
		}
	}
}

// parseGroup reads a $group that counts all documents, as drivers send it:
// {_id: 1, n: {$sum: 1}}.
func parseGroup(v bsoncore.Value) (stage, error) {
	var d []byte
	if err := readDocument("$group", v, &d); err != nil {
		return nil, err
	}
	unsupported := fail(codeBadValue, "the embedded database has a $group that counts only: {_id: null, NAME: {$sum: 1}}")
	var id bsoncore.Value
	var names []string
	err := eachField(d, func(name string, v bsoncore.Value) error {
		if name == "_id" {
			id = v
			if text, ok := v.StringValueOK(); ok && len(text) > 0 && text[0] == '$' || v.Type == bsoncore.TypeEmbeddedDocument {
				return unsupported
			}
			return nil
		}
		sum, ok := v.DocumentOK()
		if !ok || fieldCount(sum) != 1 {
			return unsupported
		}
		one, ok := field(sum, "$sum")
		if n, number := one.AsFloat64OK(); !ok || !number || n != 1 {
			return unsupported
		}
		names = append(names, name)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if isMissing(id) {
		return nil, fail(15955, "a group specification must include an _id")
	}
	return func(_ *session, next source) source {
		counted := false
		return func() ([]byte, bool, error) {
			if counted {
				return nil, false, nil
			}
			counted = true
			n := int32(0)
			for {
				_, ok, err := next()
				if err != nil {
					return nil, false, err
				}
				if !ok {
					break
				}
				n++
			}
			if n == 0 {
				return nil, false, nil
			}
			at, b := bsoncore.AppendDocumentStart(nil)
			b = bsoncore.AppendValueElement(b, "_id", id)
			for _, name := range names {
				b = bsoncore.AppendInt32Element(b, name, n)
			}
			return endDocument(b, at), true, nil
		}
	}, nil
}

// lookup is a $lookup: for each document it finds those of another collection whose foreign field
// has the local field's value, and that are in relation to its variables; a pipeline filters,
// orders and cuts them.
type lookup struct {
	of             reading
	local, foreign path // nil if only variables relate the documents
	as             string
	variables      map[string]path
	relations      []relation
}

// relation compares a field with a variable: {$gt: ["$at", "$$then"]}.
type relation struct {
	field    path
	operator string
	variable path
}

// withoutExpression moves the content of $expr in a $match into the lookup's relations, and returns
// the rest of the $match.
func (l *lookup) withoutExpression(v bsoncore.Value) (bsoncore.Value, error) {
	var d []byte
	if err := readDocument("$match", v, &d); err != nil {
		return v, err
	}
	at, rest := bsoncore.AppendDocumentStart(nil)
	err := eachField(d, func(name string, v bsoncore.Value) error {
		if name != "$expr" {
			rest = bsoncore.AppendValueElement(rest, name, v)
			return nil
		}
		return l.relate(v)
	})
	return bsoncore.Value{Type: bsoncore.TypeEmbeddedDocument, Data: endDocument(rest, at)}, err
}

// relate adds an expression to the lookup's relations: a comparison of a field with a variable, or
// an $and of such.
func (l *lookup) relate(v bsoncore.Value) error {
	unsupported := fail(codeBadValue, "the embedded database has an $expr that compares a field with a variable of $lookup only: {$gt: [\"$FIELD\", \"$$VARIABLE\"]}, or an $and of such")
	d, ok := v.DocumentOK()
	if !ok || fieldCount(d) != 1 {
		return unsupported
	}
	element, _, _ := bsoncore.ReadElement(d[4:])
	var operands [][]byte
	var names []string
	list, ok := element.Value().ArrayOK()
	if !ok {
		return unsupported
	}
	eachElement(list, func(_ int, e bsoncore.Value) bool {
		switch text, isText := e.StringValueOK(); {
		case isText:
			names = append(names, text)
		case e.Type == bsoncore.TypeEmbeddedDocument:
			operands = append(operands, e.Data)
		default:
			ok = false
		}
		return !ok
	})
	switch operator := element.Key(); operator {
	case "$and":
		if !ok || len(names) > 0 {
			return unsupported
		}
		for _, operand := range operands {
			if err := l.relate(bsoncore.Value{Type: bsoncore.TypeEmbeddedDocument, Data: operand}); err != nil {
				return err
			}
		}
		return nil
	case "$eq", "$gt", "$gte", "$lt", "$lte":
		if !ok || len(names) != 2 || len(operands) > 0 || !strings.HasPrefix(names[0], "$") || strings.HasPrefix(names[0], "$$") {
			return unsupported
		}
		name, isVariable := strings.CutPrefix(names[1], "$$")
		variable, known := l.variables[name]
		if !isVariable {
			return unsupported
		}
		if !known {
			return fail(17276, "use of undefined variable: %s", name)
		}
		field, err := parsePath(names[0][1:])
		l.relations = append(l.relations, relation{field, operator, variable})
		return err
	}
	return unsupported
}

// test is the relation for one document. It accepts only values of the variable's type. MongoDB's
// expressions compare values of all types, so only dates and texts may be compared, with fields
// that hold nothing else.
func (r relation) test(document []byte) (test, error) {
	var v bsoncore.Value
	values(document, r.variable, func(found bsoncore.Value) bool { v = found; return true })
	if v.Type != bsoncore.TypeDateTime && v.Type != bsoncore.TypeString {
		return test{}, fail(codeBadValue, "the embedded database compares variables that hold dates or texts only, and %q holds a %s", r.variable, v.Type)
	}
	return parseTest(r.field, r.operator, v)
}

func parseLookup(database string, v bsoncore.Value) (*lookup, error) {
	var d []byte
	if err := readDocument("$lookup", v, &d); err != nil {
		return nil, err
	}
	l := &lookup{}
	var from, local, foreign string
	var pipeline [][]byte
	err := eachField(d, func(name string, v bsoncore.Value) error {
		switch name {
		case "from":
			return readString(name, v, &from)
		case "localField":
			return readString(name, v, &local)
		case "foreignField":
			return readString(name, v, &foreign)
		case "as":
			return readString(name, v, &l.as)
		case "pipeline":
			return readDocuments(name, v, &pipeline)
		case "let":
			return l.let(v)
		}
		return fail(codeFailedToParse, "unknown argument to $lookup: %s, or one that the embedded database doesn't support", name)
	})
	if err != nil {
		return nil, err
	}
	if from == "" || l.as == "" || (local == "") != (foreign == "") || local == "" && len(l.variables) == 0 {
		return nil, fail(codeFailedToParse, "$lookup needs 'from', 'as', and 'localField' with 'foreignField' or 'let'")
	}
	if local != "" {
		if l.local, err = parsePath(local); err != nil {
			return nil, err
		}
		if l.foreign, err = parsePath(foreign); err != nil {
			return nil, err
		}
	}
	if as, err := parsePath(l.as); err != nil || len(as) != 1 {
		return nil, fail(codeBadValue, "the embedded database has an 'as' of $lookup without dots only: %q", l.as)
	}
	of, err := parsePipeline(namespace{database, from}, pipeline, l)
	if err != nil {
		return nil, err
	}
	l.of = *of
	return l, nil
}

func (l *lookup) stage(session *session, next source) source {
	return func() ([]byte, bool, error) {
		document, ok, err := next()
		if err != nil || !ok {
			return nil, false, err
		}
		related, err := l.related(document)
		if err != nil {
			return nil, false, err
		}
		r := l.of
		r.query.filter.tests = append(slices.Clone(r.query.filter.tests), related...)
		at, b := bsoncore.AppendDocumentStart(make([]byte, 0, len(document)+1024))
		replaced := false
		for rest := document[4:]; len(rest) > 1; {
			element, after, ok := bsoncore.ReadElement(rest)
			if !ok {
				break
			}
			rest = after
			if !element.CompareKey([]byte(l.as)) {
				b = append(b, element...)
				continue
			}
			replaced = true
			if b, err = l.append(b, r.source(session)); err != nil {
				return nil, false, err
			}
		}
		if !replaced {
			if b, err = l.append(b, r.source(session)); err != nil {
				return nil, false, err
			}
		}
		return endDocument(b, at), true, nil
	}
}

// related are the tests of the documents that belong to a document.
func (l *lookup) related(document []byte) ([]test, error) {
	var tests []test
	for _, r := range l.relations {
		t, err := r.test(document)
		if err != nil {
			return nil, err
		}
		tests = append(tests, t)
	}
	if l.local == nil {
		return tests, nil
	}
	// Of an array each element is looked up, of an empty one null.
	t := test{path: l.foreign}
	combinations, _, err := entries(document, []path{l.local})
	if err != nil {
		return nil, err
	}
	for _, values := range combinations {
		v := values[0]
		if v.Type == emptyArray.Type {
			v = missing
		}
		t.add(v)
	}
	t.sort()
	return append(tests, t), nil
}

// let reads the variables of a $lookup: {then: "$at"}.
func (l *lookup) let(v bsoncore.Value) error {
	var d []byte
	if err := readDocument("let", v, &d); err != nil {
		return err
	}
	l.variables = map[string]path{}
	return eachField(d, func(name string, v bsoncore.Value) error {
		text, ok := v.StringValueOK()
		field, isField := strings.CutPrefix(text, "$")
		if !ok || !isField || strings.HasPrefix(field, "$") {
			return fail(codeBadValue, "the embedded database has a 'let' of fields only: {%s: \"$FIELD\"}", name)
		}
		var err error
		l.variables[name], err = parsePath(field)
		return err
	})
}

// append appends the documents found, as an array.
func (l *lookup) append(b []byte, found source) ([]byte, error) {
	list, b := bsoncore.AppendArrayElementStart(b, l.as)
	for n := 0; ; n++ {
		d, ok, err := found()
		if err != nil {
			return nil, err
		}
		if !ok {
			return endDocument(b, list), nil
		}
		b = bsoncore.AppendDocumentElement(b, strconv.Itoa(n), d)
		if len(b) > maxBatchBytes {
			return nil, tooLarge(len(b))
		}
	}
}

// distinct is the distinct command.
func (s *Server) distinct(ctx context.Context, req *request) ([]byte, error) {
	n, key, f, err := req.parseDistinct()
	if err != nil {
		return nil, err
	}
	var found []bsoncore.Value
	err = s.read(ctx, func(session *session) (bool, error) {
		found, err = session.distinct(n, key, f)
		return false, err
	})
	if err != nil {
		return nil, err
	}
	size := 0
	body := done(func(b []byte) []byte {
		at, b := bsoncore.AppendArrayElementStart(b, "values")
		for i, v := range found {
			b = bsoncore.AppendValueElement(b, fmt.Sprint(i), v)
		}
		size = len(b)
		return endDocument(b, at)
	})
	if size > maxDocument {
		return nil, fail(17217, "distinct too big, 16mb cap")
	}
	return body, nil
}

func (req *request) parseDistinct() (n namespace, key path, f filter, err error) {
	if n, err = req.namespace(); err != nil {
		return n, nil, f, err
	}
	text := ""
	err = req.fields(func(name string, v bsoncore.Value) error {
		switch name {
		case "key":
			return readString(name, v, &text)
		case "query":
			if v.Type == bsoncore.TypeNull {
				return nil
			}
			return readFilter(name, v, &f)
		}
		return req.unknown(name)
	})
	if err == nil {
		key, err = parsePath(text)
	}
	return n, key, f, err
}

// distinct returns the different values at key of the documents that meet f, in order. If an index
// has equal values one after another, it reads one document for each value.
func (s *session) distinct(n namespace, key path, f filter) ([]bsoncore.Value, error) {
	c := s.catalog.collections[n]
	if c == nil {
		return nil, nil
	}
	var encoded [][]byte
	found := map[string]bsoncore.Value{}
	add := func(document []byte) error {
		combinations, _, err := entries(document, []path{key})
		for _, values := range combinations {
			v := values[0]
			if isMissing(v) || v.Type == emptyArray.Type {
				continue
			}
			k := appendKey(nil, v)
			if _, there := found[string(k)]; !there {
				found[string(k)] = bsoncore.Value{Type: v.Type, Data: bytes.Clone(v.Data)}
				encoded = append(encoded, k)
			}
		}
		return err
	}
	q := query{filter: f, order: []sortField{{path: key}}}
	st := newStream(s, c, &q)
	if l := st.skipping(key); l != nil {
		for {
			st.open(l)
			e, ok, err := l.scan.next()
			if err != nil {
				return nil, err
			}
			if !ok {
				break
			}
			document, err := s.document(c, e.rid)
			if err == nil {
				err = add(document)
			}
			if err != nil {
				return nil, err
			}
			_, end := l.branch.index.segment(e.key, 0)
			value := e.key[:end]
			if _, there := found[string(value)]; !there {
				continue // a missing field has the key of null, and the next document may have null
			}
			l.scan.seek(append(bytes.Clone(value), past))
		}
	} else {
		q.order = nil
		st := newStream(s, c, &q)
		for {
			_, document, ok, err := st.next()
			if err != nil {
				return nil, err
			}
			if !ok {
				break
			}
			if err := add(document); err != nil {
				return nil, err
			}
		}
	}
	slices.SortFunc(encoded, bytes.Compare)
	out := make([]bsoncore.Value, len(encoded))
	for i, k := range encoded {
		out[i] = found[string(k)]
	}
	return out, nil
}

// skipping returns the lane of a stream if equal values can be skipped in it: it reads one range of
// an index, all documents there meet the filter, and key is the index's first field; else nil.
func (st *stream) skipping(key path) *lane {
	if len(st.lanes) != 1 || st.plan.branches == nil || !st.plan.exact || st.sorts {
		return nil
	}
	l := st.lanes[0]
	if b := l.branch; b.index.many != 0 || b.backwards || len(b.residue) > 0 || !slices.Equal(b.index.fields[0].path, key) {
		return nil
	}
	st.query.counted = true // keys alone are read ahead
	return l
}

// explain is the explain command: the plan of the command in it.
func (s *Server) explain(ctx context.Context, req *request) ([]byte, error) {
	v, _ := field(req.body, "explain")
	var inner []byte
	if err := readDocument("explain", v, &inner); err != nil {
		return nil, err
	}
	verbosity := "allPlansExecution"
	err := req.fields(func(name string, v bsoncore.Value) error {
		if name == "verbosity" {
			return readString(name, v, &verbosity)
		}
		return req.unknown(name)
	})
	if err != nil {
		return nil, err
	}
	execute := verbosity != "queryPlanner"
	first, _, ok := bsoncore.ReadElement(inner[4:])
	if !ok || len(inner) == 5 {
		return nil, fail(codeFailedToParse, "the command to explain is empty")
	}
	explained := &request{name: first.Key(), body: inner, database: req.database, explained: true}
	explained.collection, _ = first.Value().StringValueOK()
	var text string
	var returned, keys, documents int64
	err = s.read(ctx, func(session *session) (bool, error) {
		returned, text, err = explained.run(session, execute)
		keys, documents = session.keys, session.documents
		return false, err
	})
	if err != nil {
		return nil, err
	}
	return done(func(b []byte) []byte {
		at, b := bsoncore.AppendDocumentElementStart(b, "queryPlanner")
		b = bsoncore.AppendStringElement(b, "namespace", explained.database+"."+explained.collection)
		plan, b := bsoncore.AppendDocumentElementStart(b, "winningPlan")
		b = bsoncore.AppendStringElement(b, "stage", text)
		b = endDocument(endDocument(b, plan), at)
		if !execute {
			return b
		}
		at, b = bsoncore.AppendDocumentElementStart(b, "executionStats")
		b = bsoncore.AppendBooleanElement(b, "executionSuccess", true)
		b = bsoncore.AppendInt64Element(b, "nReturned", returned)
		b = bsoncore.AppendInt64Element(b, "totalKeysExamined", keys)
		b = bsoncore.AppendInt64Element(b, "totalDocsExamined", documents)
		return endDocument(b, at)
	}), nil
}

// run plans the command. With execute it also reads the documents that the command would
// read or change, and returns their number.
func (req *request) run(session *session, execute bool) (returned int64, plan string, err error) {
	readings := []*reading{}
	switch req.name {
	case "find", "aggregate":
		parse := req.parseFind
		if req.name == "aggregate" {
			parse = req.parseAggregate
		}
		r, err := parse()
		if err != nil {
			return 0, "", err
		}
		readings = append(readings, r)
	case "distinct":
		n, key, f, err := req.parseDistinct()
		if err != nil {
			return 0, "", err
		}
		if !execute {
			return 0, "DISTINCT", nil
		}
		found, err := session.distinct(n, key, f)
		return int64(len(found)), "DISTINCT", err
	case "update", "delete":
		n, err := req.namespace()
		if err != nil {
			return 0, "", err
		}
		v, _ := field(req.body, req.name+"s")
		var statements [][]byte
		if err := readDocuments(req.name+"s", v, &statements); err != nil {
			return 0, "", err
		}
		for _, d := range statements {
			var f filter
			all := false
			if req.name == "update" {
				var u updateStatement
				err = u.parse(d)
				f, all = u.filter, u.multi
			} else {
				f, all, err = parseDelete(d)
			}
			if err != nil {
				return 0, "", err
			}
			r := &reading{namespace: n, query: query{filter: f}}
			if !all {
				r.query.limit = 1
			}
			readings = append(readings, r)
		}
	default:
		return 0, "", fail(codeBadValue, "the embedded database explains find, aggregate, distinct, update and delete, not %s", req.name)
	}
	for _, r := range readings {
		plan = "EOF"
		if c := session.catalog.collections[r.namespace]; c != nil {
			plan = newPlan(c, &r.query.filter, r.query.order).String()
		}
		for next := r.source(session); execute; returned++ {
			_, ok, err := next()
			if err != nil {
				return 0, "", err
			}
			if !ok {
				break
			}
		}
	}
	return returned, plan, nil
}
