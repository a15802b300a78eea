"""docs/coverage.md says what the signatures say."""

from gateway import coverage, ec2


def test_the_page_is_up_to_date():
    assert coverage.PAGE.read_text() == coverage.page(), "run: python -m gateway.coverage"


def test_the_page_names_actions_members_and_values():
    page = coverage.page()
    assert f"## EC2: {len(ec2.ACTIONS)} actions" in page
    assert "`BlockDeviceMapping.N.Ebs.VolumeSize`" in page
    assert "`HibernationOptions.Configured` (false)" in page
    assert "HostResourceGroupArn" not in page


def test_the_page_begins_with_a_table_that_names_every_action_once():
    table = coverage.page().partition("## EC2")[0]
    named = [
        word.strip()
        for line in table.splitlines()
        if line.startswith("| [")
        for word in line.split("|")[2].split(",")
    ]
    operations = [action.__name__ for action in ec2.ACTIONS]
    assert len(named) == len(set(named)) and len(named) >= len(operations)
    assert "| [instances](#ec2-instances) | DescribeInstance" in table and "RunInstances" in named
    assert "### EC2 instances\n" in coverage.page()
