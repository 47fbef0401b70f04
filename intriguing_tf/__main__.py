"""`python -m intriguing_tf` lists the commands."""

from intriguing_tf.scripts.itf import run

if __name__ == "__main__":
    run()
