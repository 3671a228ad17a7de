"""What the team works on, over and over: projects, their items, and what happens."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from taskorch import NewItem
from taskorch.queue.plan import Plan

#: A pool of equal agents.
TESTING = "testing"


@dataclass(frozen=True, kw_only=True)
class Work:
    """An item, and what its agent does about it."""

    title: str
    agent: str
    #: The pool in which it waits for its agent, instead of the agent's own queue.
    pool: str = ""
    #: Who accepts it, or "".
    reviewer: str = ""
    requirements: tuple[str, ...]
    #: The numbers of the items of its project that it depends on.
    after: tuple[int, ...] = ()
    reports: tuple[str, ...]
    summary: str
    finds: str = ""
    asks: str = ""
    needs: str = ""
    #: Why its first attempt fails for good.
    fails: str = ""
    deliverables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TeamProject:
    """A project of the team."""

    title: str
    description: str
    works: tuple[Work, ...]

    def plan(self) -> Plan:
        """Return the plan that creates it."""
        items = tuple(
            NewItem(
                title=work.title,
                requirements=work.requirements,
                depends_on=work.after,
                agent="" if work.pool else work.agent,
                pool=work.pool,
                reviewer=work.reviewer,
                max_attempts=2,
            )
            for work in self.works
        )
        return Plan(
            title=self.title, description=self.description, items=items
        )


PROJECTS = (
    TeamProject(
        title="Build authentication",
        description="Sign-in with passwords and refresh tokens for the web application.",
        works=(
            Work(
                title="Design the database schema",
                agent="database_expert",
                requirements=("Users table", "Sessions table"),
                reports=(
                    "Reading the old schema",
                    "Tables for users and sessions",
                    "Indexes on sessions",
                ),
                finds="E-mail addresses are lower case in all exports",
                summary="3 tables, with a migration that was tested on a copy",
                deliverables={"schema": "db/schema.sql"},
            ),
            Work(
                title="Issue access tokens",
                agent="security_specialist",
                requirements=("Signed with RS256", "Valid for 15 minutes"),
                reports=("Choosing a library", "Keys rotate every week"),
                asks="How long does a session last?",
                needs="A number of days",
                summary="Access and refresh tokens, with a test of each attack",
            ),
            Work(
                title="Write the sign-in API",
                agent="backend_developer",
                requirements=("POST /sign-in", "POST /sign-out"),
                after=(0, 1),
                reports=("Routes and errors", "Tests against the schema"),
                summary="2 endpoints with 14 tests",
                deliverables={"spec": "api/openapi.yaml"},
            ),
            Work(
                title="Build the sign-in form",
                agent="frontend_developer",
                requirements=("Works with a keyboard alone",),
                after=(2,),
                reports=("Fields and labels", "Messages for wrong passwords"),
                summary="The form, in light and dark",
            ),
            Work(
                title="Document how to sign in",
                agent="technical_writer",
                requirements=("At most one page",),
                after=(2,),
                reports=("Draft with two examples",),
                summary="docs/sign-in.md",
            ),
        ),
    ),
    TeamProject(
        title="Monthly report",
        description="Figures of the last month for the managers, as one page.",
        works=(
            Work(
                title="Collect the figures",
                agent="data_analyst",
                requirements=("Orders, returns and support requests",),
                reports=("Orders and returns", "Support requests by topic"),
                asks="Which month does the report cover?",
                needs="A month",
                summary="12 figures in one table",
                deliverables={"figures": "report/figures.csv"},
            ),
            Work(
                title="Draw the charts",
                agent="frontend_developer",
                requirements=("Readable in print",),
                after=(0,),
                reports=("Orders by week", "Returns by reason"),
                summary="3 charts",
            ),
            Work(
                title="Write the summary",
                agent="technical_writer",
                requirements=("At most 200 words",),
                after=(0,),
                reports=("First draft", "Shortened to 180 words"),
                finds="Returns fell by a third after the new size chart",
                summary="A summary of 180 words",
            ),
            Work(
                title="Check the numbers",
                agent="quality_engineer",
                pool=TESTING,
                requirements=("Each number against its source",),
                after=(1, 2),
                reports=("Half of the numbers agree with their sources",),
                summary="All 12 figures agree with their sources",
            ),
        ),
    ),
    TeamProject(
        title="Faster search",
        description="Search answers within 200 ms for the largest customers.",
        works=(
            Work(
                title="Measure the slowest queries",
                agent="data_analyst",
                requirements=("On a copy of the largest customer",),
                reports=("Copy restored", "The ten slowest queries"),
                finds="Two thirds of the time is spent on one join",
                summary="10 queries with their plans",
            ),
            Work(
                title="Add a cache for results",
                agent="backend_developer",
                requirements=("At most a minute old",),
                after=(0,),
                reports=("Keys and lifetimes", "Counting hits"),
                summary="4 of 5 searches come from the cache",
            ),
            Work(
                title="Index the archive",
                agent="database_expert",
                requirements=("Without locking the table",),
                after=(0,),
                reports=("Index on the copy",),
                fails="The staging server is full: 0 bytes left on /var",
                summary="The index, built without a lock",
            ),
            Work(
                title="Test under load",
                agent="quality_engineer",
                pool=TESTING,
                requirements=("200 searches a second for 10 minutes",),
                after=(1, 2),
                reports=("50 searches a second", "200 searches a second"),
                summary="95 % of searches below 140 ms",
                deliverables={"report": "load/report.md"},
            ),
        ),
    ),
    TeamProject(
        title="Welcome mail",
        description="New customers get one useful mail, in their own language.",
        works=(
            Work(
                title="Write the text",
                agent="technical_writer",
                requirements=("English and Spanish", "No adjectives"),
                reports=("English", "Spanish"),
                summary="Two texts of 90 words",
            ),
            Work(
                title="Review how addresses are stored",
                agent="security_specialist",
                reviewer="lead",
                requirements=("Who can read them, and for how long",),
                reports=("Following one address through the system",),
                finds="The log of the mail server keeps addresses for a year",
                summary="One finding, fixed",
            ),
            Work(
                title="Send the mail",
                agent="backend_developer",
                requirements=("Once per customer, even after a crash",),
                after=(0, 1),
                reports=("A queue with keys", "Restarted in the middle"),
                asks="Who is named as the sender?",
                needs="A name and an address",
                summary="Sent once, also after a restart",
            ),
            Work(
                title="Look at it in mail programs",
                agent="quality_engineer",
                pool=TESTING,
                requirements=("The five most used ones, also dark",),
                after=(2,),
                reports=("Three of five", "Five of five"),
                summary="Five programs, light and dark",
            ),
        ),
    ),
)
#: Title of an item -> what its agent does about it.
WORKS: Mapping[str, Work] = {
    work.title: work for project in PROJECTS for work in project.works
}
AGENTS = tuple(sorted({work.agent for work in WORKS.values()}))
#: Agent -> the pools that it takes items from.
POOLS: Mapping[str, tuple[str, ...]] = {
    agent: tuple(
        sorted(
            {
                work.pool
                for work in WORKS.values()
                if work.agent == agent and work.pool
            }
        )
    )
    for agent in AGENTS
}
