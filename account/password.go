package account

// Changes of passwords and addresses. Entry points: ChangePassword and RequestEmail for a
// viewer, RequestReset and Reset for somebody who has lost the password, ConfirmEmail.

import (
	"context"

	"stoa/access"
	"stoa/account/email"
	"stoa/id"
	"stoa/problem"
	"stoa/store"
)

// NewPassword is the input of ChangePassword: the current password and the new one.
type NewPassword struct{ CurrentPassword, NewPassword string }

// ChangePassword sets the viewer's password. All sessions of the account end. The viewer gets
// a new session with a new token, by the same delivery as before: token or cookie.
func (p *Service) ChangePassword(ctx context.Context, in NewPassword) (Signed, error) {
	v, err := access.Require(ctx, access.Customer)
	if err != nil {
		return Signed{}, err
	}
	secret, err := p.confirm(ctx, v, in.CurrentPassword)
	if err != nil {
		return Signed{}, problem.Locate(err, "currentPassword")
	}
	hash, err := p.newHash(ctx, in.NewPassword, secret)
	if err != nil {
		return Signed{}, problem.Locate(err, "newPassword")
	}
	ctx, cancel := finishing(ctx)
	defer cancel()
	changed, err := p.setPassword(ctx, secret, hash)
	if err != nil {
		return Signed{}, err
	}
	delivery := ByToken
	if access.ByCookie(ctx) {
		delivery = ByCookie
	}
	return p.begin(ctx, changed, delivery, newSession())
}

// setPassword sets an account's password, which ends its sessions and invalidates its codes.
// If the epoch or the address is not as in of, it returns Conflict. A mail tells the owner.
func (p *Service) setPassword(ctx context.Context, of *store.Secret, hash string) (*store.Account, error) {
	return p.announced(ctx, &store.OutgoingMail{
		Kind: store.PasswordNotice, To: of.Email, Name: of.Name, AccountID: of.ID, Epoch: of.Epoch + 1,
	}, func() (*store.Account, error) {
		return p.change(ctx, of.ID, func(s *store.Secret) error {
			if s.Epoch != of.Epoch || s.Email != of.Email {
				return problem.New(problem.Conflict, "the account has been changed in the meantime")
			}
			s.PasswordHash = hash
			s.Epoch++
			return nil
		})
	})
}

// announced makes a change that a mail tells of. The mail is stored before the change, due
// after the change has been made or has failed, so a crash in between doesn't lose it. Then
// compose sees if the change was made.
func (p *Service) announced(ctx context.Context, l *store.OutgoingMail, change func() (*store.Account, error)) (*store.Account, error) {
	l.CreatedAt = store.Now()
	l.NextAt, l.ID = l.CreatedAt.Add(2*finishLimit), id.At(id.Mail, l.CreatedAt)
	if err := p.store.AddMail(ctx, l); err != nil {
		return nil, err
	}
	changed, err := change()
	if err != nil {
		return nil, err
	}
	return changed, p.store.RescheduleMail(ctx, l.ID, store.Now())
}

// newHash checks a new password for an account and hashes it.
func (p *Service) newHash(ctx context.Context, secret string, of *store.Secret) (string, error) {
	if err := p.checkPassword(secret, of.Email, of.Name); err != nil {
		return "", err
	}
	return p.hasher.Hash(ctx, secret)
}

// confirm returns the viewer's account with its password hash if secret is its password. A
// wrong password is Credentials; too many attempts are Throttled.
func (p *Service) confirm(ctx context.Context, v access.Viewer, secret string) (*store.Secret, error) {
	if err := p.throttleConfirm(ctx, v.Session); err != nil {
		return nil, err
	}
	there, err := p.store.SecretOf(ctx, v.Account)
	if err != nil {
		return nil, err
	}
	ok, err := p.matches(ctx, secret, there)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, problem.New(problem.Credentials, "this isn't the account's password")
	}
	return there, nil
}

// matches says if secret is the password of an account. It takes as long for a nil account and
// for one without a password. A password hashed with old parameters is hashed again.
func (p *Service) matches(ctx context.Context, secret string, of *store.Secret) (bool, error) {
	if of == nil || of.PasswordHash == "" {
		return false, p.hasher.Pretend(ctx, secret)
	}
	ok, rehash, err := p.hasher.Verify(ctx, secret, of.PasswordHash)
	if err != nil || !ok || !rehash {
		return ok, err
	}
	hash, err := p.hasher.Hash(ctx, secret)
	if err != nil {
		return true, nil // the next sign-in tries again
	}
	after := *of
	after.PasswordHash = hash
	if err := p.store.ChangeAccount(ctx, of, &after); err != nil && !problem.Is(err, problem.Conflict) {
		p.log.Warn("a password can't be hashed anew for now", "account", of.ID, "error", err)
	} else if err == nil {
		*of = after
	}
	return true, nil
}

// ResetRequest is the input of RequestReset.
type ResetRequest struct {
	Email          string
	IdempotencyKey *string
}

// RequestReset sends a mail to the address. The mail has a code that sets the password, or
// says that there is no account. The caller can't tell one from the other. If mails with codes that
// work were sent lately, no other one is sent.
func (p *Service) RequestReset(ctx context.Context, in ResetRequest) error {
	address, err := email.Canonical(in.Email)
	if err != nil {
		return problem.Locate(err, "email")
	}
	if err := store.CheckKey(in.IdempotencyKey); err != nil {
		return err
	}
	if err := p.throttleAsking(ctx, address); err != nil {
		return err
	}
	return p.write(ctx, "reset/"+address, "passwordResetRequest", in.IdempotencyKey, []string{address}, &store.OutgoingMail{Kind: store.ResetMail, To: address})
}

// Reset is the input of Service.Reset: the code from a mail and the new password.
type Reset struct{ Token, Password string }

// Reset sets the password of the account that the code was made for. This ends the account's
// sessions and invalidates its other codes. The client's device becomes a known one, the others are
// no longer known.
func (p *Service) Reset(ctx context.Context, in Reset) error {
	code, err := p.mailCode(ctx, store.CodeToReset, in.Token)
	if err != nil {
		return err
	}
	there, err := p.store.SecretOf(ctx, code.AccountID)
	// A code sent to an address that the account has since given up is invalid.
	if problem.Is(err, problem.NotFound) || err == nil && (there.Epoch != code.Epoch || there.Email != code.Email) {
		return invalidToken()
	}
	if err != nil {
		return err
	}
	hash, err := p.newHash(ctx, in.Password, there)
	if err != nil {
		return problem.Locate(err, "password")
	}
	ctx, cancel := finishing(ctx)
	defer cancel()
	changed, err := p.setPassword(ctx, there, hash)
	if problem.Is(err, problem.Conflict) {
		return invalidToken()
	}
	if err != nil {
		return err
	}
	p.forgive(ctx, there.Email, device{})
	p.trust(ctx, changed)
	_, err = p.store.DeleteMailCode(ctx, code.Hash)
	return err
}

// EmailRequest is the input of RequestEmail.
type EmailRequest struct {
	Email          string
	Password       string
	IdempotencyKey *string
}

// RequestEmail sends a mail to a new address for the viewer's account. The mail has a code
// that confirms the address, or says that the address has an account already. The caller can't
// tell one from the other.
func (p *Service) RequestEmail(ctx context.Context, in EmailRequest) error {
	v, err := access.Require(ctx, access.Customer)
	if err != nil {
		return err
	}
	address, err := email.Canonical(in.Email)
	if err != nil {
		return problem.Locate(err, "email")
	}
	if err := store.CheckKey(in.IdempotencyKey); err != nil {
		return err
	}
	there, err := p.confirm(ctx, v, in.Password)
	if err != nil {
		return problem.Locate(err, "password")
	}
	if err := p.throttleAsking(ctx, address); err != nil {
		return err
	}
	return p.write(ctx, string(v.Account), "emailChangeRequest", in.IdempotencyKey, []string{address}, &store.OutgoingMail{
		Kind: store.EmailMail, To: address, Other: there.Email, AccountID: v.Account, Epoch: there.Epoch,
	})
}

// ConfirmEmail gives the viewer's account the address that the code was sent to, and tells the
// old address by mail. It returns Token if the code is another account's, or if the account's
// address has changed since the request.
func (p *Service) ConfirmEmail(ctx context.Context, in Coming) (*store.Account, error) {
	v, err := access.Require(ctx, access.Customer)
	if err != nil {
		return nil, err
	}
	code, err := p.mailCode(ctx, store.CodeToChangeEmail, in.Token)
	if err != nil {
		return nil, err
	}
	// The code alone is not enough: a mistyped address would give the account away.
	if !v.Is(code.AccountID) {
		return nil, invalidToken()
	}
	ctx, cancel := finishing(ctx)
	defer cancel()
	changed, err := p.announced(ctx, &store.OutgoingMail{
		Kind: store.EmailNotice, To: code.Replaces, Other: code.Email, AccountID: code.AccountID,
	}, func() (*store.Account, error) {
		return p.change(ctx, code.AccountID, func(s *store.Secret) error {
			if s.Epoch != code.Epoch || s.Email != code.Replaces {
				return invalidToken()
			}
			s.Email = code.Email
			return nil
		})
	})
	if err != nil {
		return nil, problem.Locate(err, "token")
	}
	_, err = p.store.DeleteMailCode(ctx, code.Hash)
	return changed, err
}
