"""What runs inside the sandbox: the judge, the judged and the plain data between them; standard library only."""
