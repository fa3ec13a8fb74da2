// Package store keeps Stoa's documents: the only package that talks to MongoDB, and the
// one that knows what each write makes stale in the caches.
//
// It may import access, id, meter, problem and its own sub-packages; no other package may import
// the MongoDB driver. It knows nothing of GraphQL or of HTTP. Only reads of private documents
// read the viewer: see visible.go.
// Entry points: Open, the methods of Store, the kinds in the files of their nouns, the documents in documents.go.
package store

import (
	"context"
	"crypto/cipher"
	"crypto/rand"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/connstring"

	"stoa/id"
	"stoa/meter"
	"stoa/problem"
	"stoa/store/bus"
	"stoa/store/cache"
)

const (
	// defaultDatabase is the database if the URI names none.
	defaultDatabase = "stoa"

	// selectLimit is how long a command waits for a suitable server. It is shorter than
	// cache.WriteLimit: so a write without a server fails with the driver's error, and its
	// outcome is known.
	selectLimit = 1500 * time.Millisecond
)

// Options configure a Store. URI, CacheBytes and Log are required.
type Options struct {
	// URI of the server or cluster. The path names the database, "stoa" by default.
	URI string
	// Dialer reaches the server instead of the network; nil for the network.
	Dialer options.ContextDialer
	// StartLimit bounds the wait for the database in Open, apart from the time that missing indexes take.
	// 0 waits as long as the context lasts.
	StartLimit time.Duration
	// Exclusive says that this process makes every write; see cache.Options.
	Exclusive bool
	// Redis is the second cache tier and the way to other replicas; nil without Redis.
	Redis *bus.Connection
	// CacheBytes bounds the cache in the process.
	CacheBytes int64
	// OnCommand is called with the name of each command sent to the database, except commands on
	// the registry of replicas (cache.Registry). It may be nil.
	OnCommand func(name string)
	Log       *slog.Logger
	// Program is Stoa's version. Error messages and the record of a migration contain it.
	Program string
}

// Store reads and writes documents through the caches.
type Store struct {
	client    *mongo.Client
	db        *mongo.Database
	bulkheads bulkheads
	primary   *primary
	cache     *cache.Cache
	tables    tables
	kinds     map[id.Kind]any // the tables of documents; see Kind.open
	namespace string          // see Namespace

	leasing sync.Mutex        // held while leases is read or set
	leases  map[string]*lease // by the names of Exclusively

	sealing sync.Mutex  // held while sealed is read or set
	sealed  cipher.AEAD // the cipher of sealed texts; nil before the first

	format  int    // of the database, when it was opened
	program string // Options.Program

	log       *slog.Logger
	known     *knownEditions // nil unless Options.Exclusive
	sequences sequences
	live      *live
}

// CheckURI returns an error for a malformed URI. It uses no network, so it doesn't look up the
// hosts of a mongodb+srv URI.
func CheckURI(uri string) error {
	if strings.HasPrefix(uri, connstring.SchemeMongoDBSRV+"://") {
		return nil // its hosts are in the DNS
	}
	_, err := connstring.ParseAndValidate(uri)
	return err
}

// Open connects, makes the indexes that are missing, and joins the other replicas. It
// fails when the database can't be reached in time, at once when it refuses the password or its certificate
// isn't trusted, and when it needs a newer program.
func Open(ctx context.Context, o Options) (*Store, error) {
	s, err := connect(o)
	if err != nil {
		return nil, err
	}
	if err := s.open(ctx, o); err != nil {
		_ = s.disconnect(context.WithoutCancel(ctx))
		return nil, err
	}
	return s, nil
}

// connect returns a store with a client and nothing else: no indexes, caches or replicas.
func connect(o Options) (*Store, error) {
	parsed, err := connstring.ParseAndValidate(o.URI)
	if err != nil {
		return nil, fmt.Errorf("read the MongoDB URI: %w", err)
	}
	name := parsed.Database
	if name == "" {
		name = defaultDatabase
	}
	s := &Store{bulkheads: newBulkheads(), primary: newPrimary(o.Log), log: o.Log, program: o.Program}
	if s.client, err = mongo.Connect(clientOptions(o).SetServerMonitor(s.primary.monitor())); err != nil {
		return nil, fmt.Errorf("connect to MongoDB: %w", err)
	}
	s.db = s.client.Database(name)
	s.primary.start(s.Ping)
	return s, nil
}

func clientOptions(o Options) *options.ClientOptions {
	// Reads that fill a cache must see every acknowledged write. So these options override the
	// URI.
	c := options.Client().ApplyURI(o.URI).
		SetReadPreference(readpref.Primary()).
		SetReadConcern(readconcern.Majority()).
		SetWriteConcern(&writeconcern.WriteConcern{W: writeconcern.WCMajority, Journal: new(true)}).
		SetServerSelectionTimeout(selectLimit).
		SetAppName("stoa")
	if o.Dialer != nil {
		c.SetDialer(o.Dialer)
	}
	c.SetMonitor(&event.CommandMonitor{Started: func(ctx context.Context, e *event.CommandStartedEvent) {
		// A response with reads past the tables isn't cached.
		cache.MarkUncacheable(ctx)
		if o.OnCommand == nil {
			return
		}
		if target, ok := e.Command.Lookup(e.CommandName).StringValueOK(); !ok || target != degraded && target != leases {
			o.OnCommand(e.CommandName)
		}
	}, Succeeded: func(ctx context.Context, e *event.CommandSucceededEvent) {
		meter.From(ctx).Command(documentsIn(e.Reply), len(e.Reply))
	}, Failed: func(ctx context.Context, _ *event.CommandFailedEvent) {
		meter.From(ctx).Command(0, 0)
	}})
	return c
}

// documentsIn returns the number of documents in a reply.
func documentsIn(reply bson.Raw) (n int) {
	for _, batch := range [...]string{"firstBatch", "nextBatch"} {
		list, ok := reply.Lookup("cursor", batch).ArrayOK()
		if !ok {
			continue
		}
		for rest := []byte(list[4:]); len(rest) > 1; n++ { // a length comes first, a zero last
			if _, rest, ok = bsoncore.ReadElement(rest); !ok {
				break
			}
		}
	}
	return n
}

func (s *Store) open(ctx context.Context, o Options) error {
	limited := func() (context.Context, context.CancelFunc) {
		if o.StartLimit == 0 {
			return context.WithCancel(ctx)
		}
		return context.WithTimeout(ctx, o.StartLimit)
	}
	reached, cancel := limited()
	defer cancel()
	err := s.awaitServer(reached)
	if err == nil {
		err = s.checkFormat(reached)
	}
	if err != nil {
		return err
	}
	s.leases = map[string]*lease{}
	if err := s.makeIndexes(ctx, o.Exclusive); err != nil {
		return err
	}
	ctx, cancel = limited()
	defer cancel()
	if o.Exclusive {
		s.known = &knownEditions{reading: make(chan struct{}, 1)}
	}
	if s.namespace, err = s.readNamespace(ctx); err != nil {
		return err
	}
	s.cache, err = cache.New(cache.Options{
		Bytes: o.CacheBytes, Redis: o.Redis, Namespace: s.namespace, Exclusive: o.Exclusive, Registry: s.registry(), Log: o.Log,
	})
	if err != nil {
		return err
	}
	s.openTables()
	s.live = newLive(s)
	return nil
}

// Ping says whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.client.Ping(ctx, nil); err != nil {
		return fmt.Errorf("reach MongoDB: %w", err)
	}
	return nil
}

// Close ends subscriptions, the caches and the connections to the database. Commands in progress
// may finish until ctx ends.
func (s *Store) Close(ctx context.Context) error {
	s.live.close()
	s.cache.Close()
	return s.disconnect(ctx)
}

func (s *Store) disconnect(ctx context.Context) error {
	s.primary.close()
	if err := s.client.Disconnect(ctx); err != nil {
		return fmt.Errorf("close MongoDB: %w", err)
	}
	return nil
}

// Flush empties the caches of the process, because something else has written to the database.
func (s *Store) Flush() {
	s.known.forget()
	s.sequences.forget()
	s.cache.Flush()
}

// Cache returns the caches, for the response cache.
func (s *Store) Cache() *cache.Cache { return s.cache }

// Counts returns how many reads each cache tier has answered so far.
func (s *Store) Counts() cache.Counts { return s.cache.Counts() }

// Namespace returns the random name of this database. Its keys in Redis begin with it.
func (s *Store) Namespace() string { return s.namespace }

// Names of the collections.
const (
	articles     = "articles"
	revisions    = "revisions"
	authors      = "authors"
	tags         = "tags"
	comments     = "comments"
	accounts     = "accounts"
	sessions     = "sessions"
	lastUses     = "uses"    // the old name: only a migration changes a stored name
	mailCodes    = "codes"   // the old name: only a migration changes a stored name
	outgoingMail = "letters" // the old name: only a migration changes a stored name
	idempotency  = "claims"  // the old name of idempotency records: only a migration changes a stored name
	pictures     = "images"
	products     = "products"
	meta         = "meta"
	tallies      = "counts"
	degraded     = "absences" // the old name of the markers of degraded replicas: only a migration changes a stored name
	leases       = "leases"
)

// siteKey is the id of the document in meta that has the name of the database.
const siteKey = "site"

// readNamespace returns the random name that this database was given when it was new, and
// gives it one if it has none. It separates this database's keys in Redis from another's.
func (s *Store) readNamespace(ctx context.Context) (string, error) {
	type document struct {
		ID   string `bson:"_id"`
		Name string `bson:"name"`
	}
	c := s.db.Collection(meta)
	_, err := c.InsertOne(ctx, document{siteKey, rand.Text()[:10]})
	if err != nil && !mongo.IsDuplicateKeyError(err) {
		return "", fmt.Errorf("name the database: %w", err)
	}
	var d document
	if err := c.FindOne(ctx, bson.D{{Key: "_id", Value: siteKey}}).Decode(&d); err != nil {
		return "", fmt.Errorf("read the name of the database: %w", err)
	}
	return d.Name, nil
}

// registry keeps the markers of degraded replicas and the trust leases in collections of their own.
func (s *Store) registry() *cache.Registry {
	type document struct {
		ID    string    `bson:"_id"`
		Until time.Time `bson:"until"`
	}
	markers, trusting := s.db.Collection(degraded), s.db.Collection(leases)
	byID := func(replica string) bson.D { return bson.D{{Key: "_id", Value: replica}} }
	all := func(ctx context.Context, c *mongo.Collection) (found []document, err error) {
		cursor, err := c.Find(ctx, bson.D{})
		if err != nil {
			return nil, err
		}
		err = cursor.All(ctx, &found)
		return found, err
	}
	return &cache.Registry{
		Set: func(ctx context.Context, replica string, until time.Time) error {
			_, err := markers.UpdateOne(ctx, byID(replica), bson.D{{Key: "$set", Value: bson.D{{Key: "until", Value: until}}}}, options.UpdateOne().SetUpsert(true))
			return err
		},
		Clear: func(ctx context.Context, replica string) error {
			_, err := markers.DeleteOne(ctx, byID(replica))
			return err
		},
		List: func(ctx context.Context) ([]cache.DegradedMarker, error) {
			found, err := all(ctx, markers)
			out := make([]cache.DegradedMarker, len(found))
			for i, d := range found {
				out[i] = cache.DegradedMarker{Replica: d.ID, Until: d.Until}
			}
			return out, err
		},
		Lease: func(ctx context.Context, l cache.TrustLease) error {
			_, err := trusting.InsertOne(ctx, document{leaseID(l.Replica, l.Number), l.Until})
			return err
		},
		EndLeases: func(ctx context.Context, replica string, end int64) error {
			ended := bson.D{{Key: "_id", Value: bson.D{{Key: "$gte", Value: leaseID(replica, 0)}, {Key: "$lt", Value: leaseID(replica, end)}}}}
			dead := bson.D{{Key: "until", Value: bson.D{{Key: "$lt", Value: time.Now().Add(-deadLease)}}}}
			_, err := trusting.DeleteMany(ctx, bson.D{{Key: "$or", Value: bson.A{ended, dead}}})
			return err
		},
		Leases: func(ctx context.Context) ([]cache.TrustLease, error) {
			found, err := all(ctx, trusting)
			out := make([]cache.TrustLease, len(found))
			for i, d := range found {
				replica, _, _ := strings.Cut(d.ID, "/")
				out[i] = cache.TrustLease{Replica: replica, Until: d.Until}
			}
			return out, err
		},
	}
}

// deadLease is when the trust lease of a replica that died is deleted: long after every replica has
// taken it for expired, whatever its clock shows.
const deadLease = 24 * time.Hour

// leaseID is the id of a trust lease. Those of one replica are in the order of their numbers.
func leaseID(replica string, number int64) string { return fmt.Sprintf("%s/%012d", replica, number) }

// in is the condition that field is one of values. For one value it is an equality.
func in[T any](field string, values []T) bson.D {
	if len(values) == 1 {
		return bson.D{{Key: field, Value: values[0]}}
	}
	return bson.D{{Key: field, Value: bson.D{{Key: "$in", Value: values}}}}
}

// conflict turns a duplicate key error into a Conflict about what.
func conflict(err error, what string) error {
	if mongo.IsDuplicateKeyError(err) {
		return problem.New(problem.Conflict, "%s is taken", what)
	}
	return err
}

// changed turns a compare-and-set that matched no document into a problem.
func changed(n int64, err error, what string) error {
	if err == nil && n == 0 {
		return problem.New(problem.Conflict, "%s has changed in the meantime", what)
	}
	return err
}
