package pipeline

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// Customer is the state of a customer: the fold of its events, and what the API shows.
type Customer struct {
	ID         int64        `json:"id"`
	UUID       string       `json:"uuid"`
	CompanyID  int64        `json:"company_id"`
	Name       string       `json:"name"`
	Email      string       `json:"email"`
	Phone      Text         `json:"phone"`
	Type       CustomerType `json:"type"`
	Status     int          `json:"status"`
	StatusName string       `json:"status_name"`
	OwnerID    UserID       `json:"owner_id"`
	Address    Object       `json:"address"`
	Attributes Object       `json:"attributes"`
	Version    int64        `json:"version"`
	CreatedAt  time.Time    `json:"created_at"`
	UpdatedAt  time.Time    `json:"updated_at"`
	Deleted    bool         `json:"deleted"`
	Erased     bool         `json:"erased,omitempty"`
}

// NewCustomer is a customer to whom nothing has happened yet.
func NewCustomer(companyID, id int64) Customer {
	return Customer{ID: id, CompanyID: companyID}
}

// Ref says which customer this is.
func (c Customer) Ref() Ref {
	return Ref{Kind: KindCustomer, ID: c.ID, CompanyID: c.CompanyID, CustomerID: c.ID, Version: c.Version}
}

// Stage is the name of the customer's status, or where it stands outside of the statuses.
func (c Customer) Stage() string {
	if at := c.lifecycle(); at != StateActive {
		return at
	}
	return c.StatusName
}

// Allowed lists the event types that are legal now.
func (c Customer) Allowed() []EventType { return allowed(customerRules, c.position()) }

func (c Customer) position() position { return position{TrackCustomer: c.lifecycle()} }

func (c Customer) lifecycle() string {
	switch {
	case c.Version == 0:
		return StateNone
	case c.Erased:
		return StateErased
	case c.Deleted:
		return StateDeleted
	default:
		return StateActive
	}
}

// Decide says what payload the event would carry, or why it may not happen.
func (c Customer) Decide(cmd Command) (any, error) {
	if err := check(customerRules, c.position(), cmd.Type, "the customer is "+c.lifecycle()); err != nil {
		return nil, err
	}
	switch cmd.Type {
	case TypeCustomerCreated:
		return decideCreated(cmd)
	case TypeCustomerUpdated:
		return c.decideUpdated(cmd)
	case TypeCustomerStatusChanged:
		return c.decideStatusChanged(cmd)
	case TypeAppointmentSet:
		return decideAppointment(cmd)
	case TypeEmailSent:
		return decode[EmailSent](cmd.Data)
	case TypeSMSSent:
		return decode[SMSSent](cmd.Data)
	case TypeCustomerErased:
		return decideErased(cmd)
	default: // customer.deleted, customer.restored
		return decode[Reason](cmd.Data)
	}
}

func decideCreated(cmd Command) (any, error) {
	p, err := decode[CustomerCreated](cmd.Data)
	if err != nil {
		return nil, err
	}
	if p.Type == "" {
		p.Type = Residential
	}
	var f faults
	f.unless(p.UUID != "", "/data/uuid", "is missing")
	f.unless(strings.TrimSpace(p.Name) != "", "/data/name", "must not be empty")
	f.unless(emailShape.MatchString(p.Email), "/data/email", "is not an e-mail address")
	f.customerType(p.Type)
	f.unless(p.StatusName != "", "/data/status", "is not a status of this company")
	f.object(p.Address, "/data/address")
	f.object(p.Attributes, "/data/attributes")
	return p, Invalid(f...)
}

func (c Customer) decideUpdated(cmd Command) (any, error) {
	p, err := decode[CustomerUpdated](cmd.Data)
	if err != nil {
		return nil, err
	}
	var f faults
	f.unless(!p.Name.Set || strings.TrimSpace(p.Name.Value) != "", "/data/name", "must not be empty")
	f.unless(!p.Email.Set || emailShape.MatchString(p.Email.Value), "/data/email", "is not an e-mail address")
	if p.Type.Set {
		f.customerType(p.Type.Value)
	}
	f.object(p.Address.Value, "/data/address")
	f.object(p.Attributes.Value, "/data/attributes")
	changed := CustomerUpdated{
		Name:       changes(p.Name, c.Name),
		Email:      changes(p.Email, c.Email),
		Phone:      changes(p.Phone, c.Phone),
		Type:       changes(p.Type, c.Type),
		OwnerID:    changes(p.OwnerID, c.OwnerID),
		Address:    changes(p.Address, c.Address),
		Attributes: changes(p.Attributes, c.Attributes),
	}
	f.unless(len(f) > 0 || changed != (CustomerUpdated{}), "/data", "changes nothing: give at least one field a new value")
	return changed, Invalid(f...)
}

func (c Customer) decideStatusChanged(cmd Command) (any, error) {
	p, err := decode[CustomerStatusChanged](cmd.Data)
	if err != nil {
		return nil, err
	}
	p.OldStatus, p.NewStatus = c.Status, p.Status
	var f faults
	f.unless(p.StatusName != "", "/data/status", "is not a status of this company")
	f.unless(p.NewStatus != p.OldStatus, "/data/status", "is the status already: "+strconv.Itoa(p.OldStatus))
	return p, Invalid(f...)
}

func decideAppointment(cmd Command) (any, error) {
	p, err := decode[AppointmentSet](cmd.Data)
	if err != nil {
		return nil, err
	}
	var f faults
	f.unless(!p.StartsAt.IsZero(), "/data/starts_at", "is missing")
	f.unless(p.EndsAt.IsZero() || !p.EndsAt.Before(p.StartsAt), "/data/ends_at", "is before starts_at")
	return p, Invalid(f...)
}

func decideErased(cmd Command) (any, error) {
	p, err := decode[CustomerErased](cmd.Data)
	if err != nil {
		return nil, err
	}
	var f faults
	known := []string{"", ErasedOnRequest, ErasedByAge, ErasedOtherwise}
	f.unless(slices.Contains(known, p.Reason), "/data/reason", "has to be request, retention or other")
	return p, Invalid(f...)
}

// Apply gives the customer after the event.
func (c Customer) Apply(e Event) (Customer, error) {
	c.Version = e.Version
	c.Erased = c.Erased || e.Erased
	c.UpdatedAt = e.Timestamp
	switch e.Type {
	case TypeCustomerCreated:
		return c.applyCreated(e)
	case TypeCustomerUpdated:
		return c.applyUpdated(e)
	case TypeCustomerStatusChanged:
		p, err := decodeEvent[CustomerStatusChanged](e)
		c.Status, c.StatusName = p.NewStatus, p.StatusName
		return c, err
	case TypeCustomerDeleted:
		c.Deleted = true
	case TypeCustomerRestored:
		c.Deleted = false
	case TypeCustomerErased:
		return c.withoutPersonal(), nil
	default: // says what happened, changes nothing
	}
	return c, nil
}

func (c Customer) applyCreated(e Event) (Customer, error) {
	p, err := decodeEvent[CustomerCreated](e)
	c.CreatedAt = e.Timestamp
	c.UUID, c.Name, c.Email, c.Phone, c.Type = p.UUID, p.Name, p.Email, p.Phone, p.Type
	c.OwnerID, c.Status, c.StatusName = p.OwnerID, p.Status, p.StatusName
	c.Address, c.Attributes = p.Address, p.Attributes
	return c, err
}

func (c Customer) applyUpdated(e Event) (Customer, error) {
	p, err := decodeEvent[CustomerUpdated](e)
	p.Name.into(&c.Name)
	p.Email.into(&c.Email)
	p.Phone.into(&c.Phone)
	p.Type.into(&c.Type)
	p.OwnerID.into(&c.OwnerID)
	p.Address.into(&c.Address)
	p.Attributes.into(&c.Attributes)
	return c, err
}
