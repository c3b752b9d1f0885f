"""Choose a tenant's profile."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from pipeline.redaction.detect import Profile


@dataclass(frozen=True, slots=True)
class Profiles:
    """The profiles of all tenants.

    Attributes:
        by_tenant: those that tenants have of their own.
        default: the others' profile; everything on where none is given.
    """

    by_tenant: Mapping[str, Profile] = field(default_factory=dict)
    default: Profile = field(default_factory=Profile)

    def of(self, tenant: str) -> Profile:
        """Return a tenant's profile, with the tenant's own key."""
        profile = self.by_tenant.get(tenant, self.default)
        return replace(profile, replacement=profile.replacement.of_tenant(tenant))
