"""docs/coverage.md says what the signatures say."""

from gateway import coverage, ec2


def test_the_page_is_up_to_date():
    assert coverage.PAGE.read_text() == coverage.page(), "run: python -m gateway.coverage"


def test_the_page_names_actions_members_and_values():
    page = coverage.page()
    assert f"## EC2: {len(ec2.ACTIONS)} of 830 actions" in page
    assert "`BlockDeviceMapping.N.Ebs.VolumeSize`" in page
    assert "`HibernationOptions.Configured` (false)" in page
    assert "HostResourceGroupArn" not in page
