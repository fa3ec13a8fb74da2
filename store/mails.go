package store

// Mail codes and outgoing mails. Entry points: Store.AddMailCode, MailCode and DeleteMailCode;
// Store.AddMail, and DueMails, TakeMail and CloseMail for the mailer.

import (
	"context"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"stoa/access"
	"stoa/id"
	"stoa/problem"
)

// mailCodeRecords are the mail codes.
var mailCodeRecords = &Uncached[MailCode]{
	Name: "a mail code", Collection: mailCodes, Indexes: [][]string{{"accountId"}, {"email"}}, Ends: "endsAt",
}

// mailRecords are the outgoing mails. One stays longer than the idempotency record with its id, so
// that a repeated request doesn't send it again.
var mailRecords = &Uncached[OutgoingMail]{
	Name: "a mail", Collection: outgoingMail, Indexes: [][]string{{"nextAt"}, {"accountId"}, {"to"}}, Ends: "createdAt", Kept: 2 * idempotencyFor,
}

// AddMailCode stores a mail code.
func (s *Store) AddMailCode(ctx context.Context, c *MailCode) error {
	_, err := mailCodeRecords.add(ctx, s, c)
	return err
}

// MailCode returns the mail code of a kind with a hash, as it is in the database now, unless it has
// ended at now; NotFound if there is none.
func (s *Store) MailCode(ctx context.Context, kind MailCodeKind, hash string, now time.Time) (*MailCode, error) {
	access.MarkPrivate(ctx)
	found, err := mailCodeRecords.get(ctx, s, hash)
	if err == nil && (found == nil || found.Kind != kind || !now.Before(found.EndsAt)) {
		return nil, problem.New(problem.NotFound, "there is no such code")
	}
	return found, err
}

// DeleteMailCode deletes a mail code, and reports whether this call did: of several calls, one
// does.
func (s *Store) DeleteMailCode(ctx context.Context, hash string) (bool, error) {
	n, err := mailCodeRecords.delete(ctx, s, bson.D{{Key: "_id", Value: hash}})
	return n == 1, err
}

// HasMail reports whether a mail exists, or existed.
func (s *Store) HasMail(ctx context.Context, mail id.ID) (bool, error) {
	found, err := mailRecords.get(ctx, s, mail)
	return found != nil, err
}

// AddMail stores a mail to be sent. A mail that was added before is left unchanged.
func (s *Store) AddMail(ctx context.Context, l *OutgoingMail) error {
	return s.write(ctx, []string{outgoingKey}, func(ctx context.Context) error {
		_, err := mailRecords.add(ctx, s, l)
		return err
	})
}

// NextMail returns the due time of the next mail; ok is false if there is none.
func (s *Store) NextMail(ctx context.Context) (at time.Time, ok bool, err error) {
	return s.nextDue(ctx, outgoingKey)
}

// DueMails returns the mails due at now, at most a hundred.
func (s *Store) DueMails(ctx context.Context, now time.Time) ([]*OutgoingMail, error) {
	return mailRecords.find(ctx, s,
		bson.D{{Key: "nextAt", Value: bson.D{{Key: "$gt", Value: time.Time{}}, {Key: "$lte", Value: now}}}},
		options.Find().SetSort(bson.D{{Key: "nextAt", Value: 1}}).SetLimit(MaxPageSize))
}

// TakeMail reserves l, as it was read, for the caller until a time; false if another replica has
// taken it.
func (s *Store) TakeMail(ctx context.Context, l *OutgoingMail, until time.Time) (bool, error) {
	taken := false
	err := s.write(ctx, []string{outgoingKey}, func(ctx context.Context) (err error) {
		taken, err = mailRecords.change(ctx, s,
			bson.D{{Key: "_id", Value: l.ID}, {Key: "attempts", Value: l.Attempts}},
			bson.D{{Key: "$set", Value: bson.D{{Key: "nextAt", Value: until}, {Key: "attempts", Value: l.Attempts + 1}}}})
		return err
	})
	return taken, err
}

// RescheduleMail sets the time of the next attempt to send a mail.
func (s *Store) RescheduleMail(ctx context.Context, mail id.ID, until time.Time) error {
	return s.changeMail(ctx, mail, bson.D{{Key: "$set", Value: bson.D{{Key: "nextAt", Value: until}}}})
}

// CloseMail records that a mail was sent, or never will be, and deletes its content.
func (s *Store) CloseMail(ctx context.Context, mail id.ID) error {
	return s.changeMail(ctx, mail, bson.D{{Key: "$unset", Value: bson.D{
		{Key: "nextAt", Value: ""}, {Key: "passwordHash", Value: ""}, {Key: "name", Value: ""}, {Key: "other", Value: ""},
	}}, {Key: "$set", Value: bson.D{{Key: "to", Value: ""}}}})
}

func (s *Store) changeMail(ctx context.Context, mail id.ID, change bson.D) error {
	return s.write(ctx, []string{outgoingKey}, func(ctx context.Context) error {
		_, err := mailRecords.change(ctx, s, bson.D{{Key: "_id", Value: mail}}, change)
		return err
	})
}

// forgetMails deletes the mail codes and mails of an account, and those to its address.
func (s *Store) forgetMails(ctx context.Context, account id.ID, address string) error {
	either := func(field string) bson.D {
		return bson.D{{Key: "$or", Value: bson.A{bson.D{{Key: "accountId", Value: account}}, bson.D{{Key: field, Value: address}}}}}
	}
	_, err := mailCodeRecords.delete(ctx, s, either("email"))
	if err == nil {
		_, err = mailRecords.delete(ctx, s, either("to"))
	}
	return err
}
